"""Starts of the service on PostgreSQL: one line for what is wrong, and no silent wait."""

from __future__ import annotations

import importlib.util
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appid_manager_client import ConfigurationError
from appid_manager_client.cli import main
from appid_manager_client.server import ServiceSettings
from appid_manager_client.server.opening import wait_for_database
from appid_manager_client.server.store import engines, postgres_connect
from appid_manager_client.testing import LocalService
from tests.support.postgres import PASSWORD, PostgresServer, free_port, running_postgres
from tests.support.replication import synchronous_standby

Serve = Callable[..., str]


@pytest.fixture
def serve(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Serve:
    """`appid-manager serve` on a database that can't be used: its one line."""

    def run(url: str, *options: str) -> str:
        monkeypatch.setenv("APPID_MANAGER_DATABASE", url)
        code = main(["serve", "--port", "0", *options])
        written = capsys.readouterr()
        assert (code, written.out) == (1, "")
        assert written.err.count("\n") == 1
        assert PASSWORD not in written.err and "Traceback" not in written.err
        return written.err

    return run


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (PASSWORD, "wrong", "password authentication failed"),
        ("/test_", "/missing_", "does not exist"),
        ("127.0.0.1:", "127.0.0.1:1", "refused|invalid port|can't be reached"),
        ("127.0.0.1", "no-such-host.invalid", "can't be reached"),
    ],
)
def test_what_can_t_be_reached_is_one_line(
    serve: Serve, postgres_url: str, old: str, new: str, line: str
) -> None:
    for scheme in ("postgresql://", "postgres://"):
        url = postgres_url.replace("postgresql://", scheme).replace(old, new)
        message = serve(url)
        assert any(part in message for part in line.split("|")), message


def test_a_standby_is_one_line(serve: Serve) -> None:
    with running_postgres() as primary, primary.database() as url:
        with synchronous_standby(primary) as standby:
            there = url.replace(f":{primary.port}/", f":{standby.port}/")
            assert "it is a read-only standby: name the primary" in serve(there)
            primary.stop(signal.SIGQUIT)


def test_a_user_who_may_make_no_tables_is_one_line(
    serve: Serve, postgres: PostgresServer, postgres_url: str
) -> None:
    with postgres.superuser(postgres_url.rpartition("/")[2]) as connection:
        connection.execute("ALTER SCHEMA public OWNER TO postgres")
        connection.execute("GRANT USAGE ON SCHEMA public TO service")
    assert "permission denied for schema public" in serve(postgres_url)


def test_a_server_that_is_too_old_is_one_line(
    serve: Serve, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connect, "OLDEST", 99)
    assert "and 99 is the oldest that works" in serve(postgres_url)


def test_a_missing_extra_names_what_to_install(
    serve: Serve, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "psycopg" else found(name)
    )
    assert 'pip install "appid-manager-client[server,postgres]"' in serve(postgres_url)


class Pauses:
    """A clock that only the pauses of a wait move."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.each: list[float] = []
        self._then = then

    def sleep(self, seconds: float) -> None:
        self.each.append(seconds)
        self.now += seconds
        self._then()


def wait(url: str, seconds: float, pauses: Pauses) -> None:
    settings = ServiceSettings(database=url, wait_for_database=seconds)
    wait_for_database(settings, sleep=pauses.sleep, monotonic=lambda: pauses.now)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URL of a database whose server doesn't run."""
    with free_port() as port:
        yield f"postgresql://service:{PASSWORD}@127.0.0.1:{port}/appids"


def test_a_start_waits_for_the_server_with_growing_pauses(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = Pauses()
    wait(nowhere, 60, pauses)
    assert pauses.now == pytest.approx(60)
    assert all(0.1 < pause <= 5 for pause in pauses.each[:-1])
    assert 10 < len(pauses.each) < 40
    (line,) = caplog.messages
    assert "takes no connections yet: waiting for it, up to 60 s" in line
    assert PASSWORD not in caplog.text


def test_a_start_goes_on_when_the_server_is_there(
    postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    postgres.stop()
    pauses = Pauses(then=lambda: postgres.start() if len(pauses.each) == 3 else None)
    wait(postgres_url, 600, pauses)
    assert len(pauses.each) == 3
    assert "takes connections after" in caplog.messages[-1]


def test_a_server_that_is_there_is_not_waited_for(postgres_url: str) -> None:
    pauses = Pauses()
    wait(postgres_url.replace(PASSWORD, "wrong"), 600, pauses)  # opening it says what is wrong
    wait("sqlite:///none.db", 600, pauses)
    assert pauses.each == []


@pytest.mark.parametrize("seconds", [-1, 86401, float("nan"), True, "5"])
def test_seconds_that_can_t_be_used_are_refused(seconds: object) -> None:
    with pytest.raises(ConfigurationError, match="must be a number of seconds from 0 to 86400"):
        ServiceSettings(wait_for_database=seconds)  # type: ignore[arg-type]


def start(*options: str) -> subprocess.Popen[str]:
    """`appid-manager serve` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "appid_manager_client", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_waits_and_ends_with_a_signal(nowhere: str) -> None:
    url = nowhere.replace(f":{PASSWORD}", "")
    with start("--wait-for-database", "600", "--database", url) as process:
        assert process.stderr is not None
        assert "waiting for it, up to 600 s" in process.stderr.readline()
        process.terminate()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGTERM


def test_a_locked_database_is_waited_for_at_the_start(tmp_path: Path) -> None:
    """Another service may be changing its tables."""
    file = tmp_path / "appids.db"
    with LocalService(database=file):
        pass
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    process = start("--database", str(file))
    with process:
        assert process.stdout is not None and process.stderr is not None
        try:
            assert "is not open yet" in process.stderr.readline()
            other.close()
            assert "serving AppIDs" in process.stdout.readline()
        finally:
            process.terminate()


def test_a_password_is_in_no_frame_of_an_error(postgres_url: str) -> None:
    wrong = postgres_url.replace(PASSWORD, "s3cret-and-wrong")
    with pytest.raises(ConfigurationError) as caught:
        engines.open_engine(ServiceSettings(database=wrong).database)
    assert_in_no_frame(caught.value, "s3cret-and-wrong")


def assert_in_no_frame(error: BaseException, secret: str) -> None:
    """The frames of this package; what tests and drivers hold is their own."""
    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if "appid_manager_client" in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    assert secret not in repr(value), f"{frame.f_code.co_qualname}: {name}"
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
