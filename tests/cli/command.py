"""`appid-manager` as a test runs it: in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from appid_manager_client.cli import main
from appid_manager_client.testing import LocalService
from tests.support.waiting import PATIENCE

TOKEN = "s3cret-token-of-the-tests"

NO_URL = "no URL"
"""Passed as `url`: the variable is not set."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Cli:
    """Calls `main` in this process. No command may write the token."""

    def __init__(self, service: LocalService, capsys: pytest.CaptureFixture[str]) -> None:
        self._service = service
        self._capsys = capsys

    def __call__(self, *arguments: str, token: str | None = TOKEN, url: str | None = None) -> Ran:
        os.environ["APPID_MANAGER_URL"] = self._service.url if url is None else url
        if url == NO_URL:
            del os.environ["APPID_MANAGER_URL"]
        os.environ.pop("APPID_MANAGER_TOKEN", None)
        if token is not None:
            os.environ["APPID_MANAGER_TOKEN"] = token
        self._capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        written = self._capsys.readouterr()
        assert TOKEN not in written.out + written.err
        return Ran(code, written.out, written.err)


class Process:
    """A running command, whose output is read line by line or at its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def line(self) -> str:
        """The next line on stdout, without its end; empty after the last one."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def error_line(self) -> str:
        """The next line on stderr."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().rstrip("\n")

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def code(self) -> int:
        """Wait for the end. Returns the exit code."""
        return self._process.wait(PATIENCE)

    def end(self, timeout: float = PATIENCE) -> Ran:
        """Wait for the end. Returns the code, and what was not read yet."""
        out, err = self._process.communicate(timeout=timeout)
        return Ran(self._process.returncode, out or "", err or "")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def clean_up(self) -> None:
        """End it if a failed test left it running."""
        if self.running:
            self.send(signal.SIGTERM)  # `run` passes it on to its command
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait(20)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


class Spawn(contextlib.ExitStack):
    """Starts `appid-manager` as a process; the end of its block ends what is still running."""

    def __call__(
        self,
        *arguments: str,
        program: Sequence[str] = (sys.executable, "-m", "appid_manager_client.cli"),
        env: Mapping[str, str] | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        start_new_session: bool = False,
    ) -> Process:
        process = Process(
            subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
                env=env,
                start_new_session=start_new_session,
            )
        )
        self.callback(process.clean_up)
        return process

    def redirected(self, redirection: str, *arguments: str) -> Process:
        """Start it with a stdout that the shell opens."""
        program = (sys.executable, "-m", "appid_manager_client")
        script = ("-c", f'exec "$@" {redirection}', "sh")
        return self(*script, *program, *arguments, program=["sh"])


def endings(service: LocalService) -> list[str | None]:
    """How each lease of the product `p` ended; `None` for one that is still held."""
    return [lease["ended"] for lease in service.history("p")]
