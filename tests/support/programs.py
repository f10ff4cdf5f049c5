"""Python processes that use the library: started from a text, driven by lines, always ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from appid_manager_client.testing import LocalService

from .services import AnyService
from .waiting import PATIENCE

_PREAMBLE = """
import logging, os, signal, sys, threading, time
from appid_manager_client import *
logging.basicConfig(level=logging.DEBUG)
client = AppIdClient()
def say(*words):
    print(*words, flush=True)
def listen():
    return sys.stdin.readline().strip()
"""


class Program:
    """One process, whose default service is `service`.

    The program has `client`, `say(...)` (for `expect` here) and `listen()` (for `tell` here).
    """

    def __init__(
        self, text: str, service: AnyService | LocalService, journal: Path | None = None
    ) -> None:
        environment = {**os.environ, "APPID_MANAGER_URL": service.url, "PYTHONUNBUFFERED": "1"}
        environment["APPID_MANAGER_TOKEN"] = service.auth_token or ""
        if journal is not None:
            environment["APPID_MANAGER_JOURNAL"] = str(journal)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PREAMBLE + text],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def expect(self, first_word: str, timeout: float = PATIENCE) -> list[str]:
        """The rest of the next line, in words; it must start with `first_word`."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no {first_word!r} within {timeout:g} s; {self.story}") from None
        if line is None or line.split()[:1] != [first_word]:
            raise AssertionError(f"expected {first_word!r}, not {line!r}; {self.story}")
        return line.split()[1:]

    def tell(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended by itself and its output was read. Returns the exit status."""
        status = self._process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return status

    @property
    def story(self) -> str:
        return "its log: " + "".join(self.log)[-3000:]

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
