"""Several processes of the service on one database, to be killed, stopped and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.support.postgres import free_port
from tests.support.waiting import PATIENCE, wait_until


class Replica:
    """`appid-manager serve` as a process of its own, on a port that it keeps.

    Attributes:
        url: where it answers.
        process: the process; the last one if it is dead.
    """

    def __init__(self, database: str, port: int, log: Path, *options: str) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._database = database
        self._log = log
        self._options = options
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "appid_manager_client", "serve"),
                    *("--port", str(self.port), *self._options),
                ],
                env={**os.environ, "APPID_MANAGER_DATABASE": self._database},
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start it again after its end. It may not be ready yet."""
        self.process = self._start()

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(PATIENCE)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It stands still within the block, as if its machine did."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether a write would be taken now."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.url}/ready", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def wait_ready(self) -> None:
        """Return when a write would be taken."""
        wait_until(self.is_ready, what=f"{self.url} is ready")

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def running_replicas(
    database: str, directory: Path, *options: str, count: int = 2
) -> Iterator[list[Replica]]:
    """Replicas on one database, ready, which are gone afterwards."""
    with contextlib.ExitStack() as stack:
        replicas = []
        for number in range(count):
            port = stack.enter_context(free_port())
            replica = Replica(database, port, directory / f"replica-{number}.log", *options)
            stack.callback(replica.kill)
            replicas.append(replica)
        for replica in replicas:
            replica.wait_ready()
        yield replicas
