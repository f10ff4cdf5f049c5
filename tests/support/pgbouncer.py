"""pgbouncer for tests: a pooler of transactions before a PostgreSQL server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.postgres import (
    PASSWORD,
    USER,
    as_another_user,
    free_port,
    give_to_the_server,
    server_directory,
)
from tests.support.waiting import PATIENCE, wait_until

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 200
default_pool_size = {pool_size}
server_login_retry = 0.2
server_connect_timeout = 2
query_wait_timeout = 5
ignore_startup_parameters = extra_float_digits
"""


def find_pgbouncer() -> str | None:
    """The path of pgbouncer, or `None`: Debian's package `pgbouncer` has it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class Bouncer:
    """A running pgbouncer, on a port that stays the same when it is started again."""

    def __init__(self, directory: Path, port: int, server_port: int, pool_size: int) -> None:
        users = directory / "users.txt"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        self._settings = directory / "pgbouncer.ini"
        self._settings.write_text(
            SETTINGS.format(port=port, server_port=server_port, users=users, pool_size=pool_size)
        )
        for path in (users, self._settings):
            give_to_the_server(path)
        self._log = directory / "pgbouncer.log"
        program = find_pgbouncer()
        assert program is not None
        self._program = program
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [*as_another_user(until_this_thread_ends=True), self._program, str(self._settings)],
                stdout=log,
                stderr=log,
                cwd=self._settings.parent,
            )
        wait_until(self._listens, what="pgbouncer takes connections")

    def kill(self) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def url(self, url: str) -> str:
        """The URL of a database of the server, by way of pgbouncer."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{url.rpartition('/')[2]}"

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"pgbouncer did not start: {self._log.read_text()[-2000:]}")
        try:
            psycopg.connect(self.url("/none"), connect_timeout=1).close()
        except psycopg.OperationalError as error:
            return "refused" not in str(error)
        return True


@contextmanager
def running_pgbouncer(server_port: int, pool_size: int = 10) -> Iterator[Bouncer]:
    """A pgbouncer before the server on that port, which is gone afterwards."""
    with server_directory() as directory, free_port() as port:
        bouncer = Bouncer(directory, port, server_port, pool_size)
        bouncer.start()
        try:
            yield bouncer
        finally:
            bouncer.kill()
