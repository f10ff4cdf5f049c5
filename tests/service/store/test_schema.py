"""The tables of every version: made, migrated, or refused.

`data/schema1.db` was written by the code of commit 46a8499, with live and ended leases, an
abandoned request, and a retired AppID.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from appid_manager_client import ConfigurationError
from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Release, Released
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store import registry, schema, start
from appid_manager_client.server.store.migrations import steps
from appid_manager_client.server.store.store import Store
from appid_manager_client.testing import LocalService
from tests.service.conftest import Api
from tests.service.process import ServiceProcess, service_process
from tests.support.waiting import PATIENCE, wait_until

OLD = Path(__file__).parent / "data" / "schema1.db"
NOW = 1_780_002_613_000  # one second after the last grant in that file


def open_store(path: Path) -> Store:
    return Store(f"sqlite:///{path}", make_hours("UTC"), lambda: NOW)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def schema_of(path: Path) -> object:
    [(found,)] = rows(path, "SELECT value FROM meta WHERE key = 'schema'")
    return found


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of every table, the statements of every index, and the values of `meta`."""
    tables = rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    found = {str(name): rows(path, f"PRAGMA table_info({name})") for (name,) in tables}
    found["indexes"] = rows(
        path, "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    )
    # The key of sessions is random, and made when a service starts.
    values = rows(path, "SELECT * FROM meta WHERE key <> 'session_key' ORDER BY key")
    return found | {"values": values}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "old.db"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    open_store(tmp_path / "new.db").close()
    return tmp_path / "new.db"


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here on the code is that of the next version, which has a schema 4.

    Returns the file of that migration.
    """
    directory = tmp_path / "migrations"
    shutil.copytree(steps.DIRECTORY, directory)
    monkeypatch.setattr(steps, "DIRECTORY", directory)
    for module in (schema, steps, registry, start):
        monkeypatch.setattr(module, "SCHEMA", "4")
    migration = directory / "versions" / "schema_4.py"
    migration.write_text(
        '"""A colour for each AppID."""\n'
        "from alembic import op\n"
        'revision, down_revision = "4", "3"\n'
        "def upgrade():\n"
        '    op.execute("ALTER TABLE appids ADD COLUMN colour TEXT")\n'
    )
    return migration


def test_an_upgraded_database_has_the_shape_of_a_new_one(old, new):
    open_store(old).close()
    assert shape(old) == shape(new)


def test_all_migrations_together_make_what_a_new_database_gets_at_once(tmp_path, new):
    engine = create_engine(f"sqlite:///{tmp_path / 'stepwise.db'}")
    with engine.begin() as connection:
        steps.run(connection, "base")
    engine.dispose()
    open_store(tmp_path / "stepwise.db").close()
    assert shape(tmp_path / "stepwise.db") == shape(new)


def test_an_old_database_keeps_its_appids_leases_and_history(old):
    wanted = "SELECT id, appid, vid, holder, start, stop, ended, ttl, request_id FROM leases"
    before = rows(old, wanted)
    with contextlib.closing(open_store(old)) as store:
        assert rows(old, wanted) == before
        status = store.status(StatusQuery(details=True))
        assert {entry.appid: entry.state for entry in status.appids} == {
            "a1": "available",
            "a2": "in_use",
            "a3": "available",
            "a4": "in_use",
            "a5": "available",
            "t1": "in_use",
            "o1": "in_use",
            "o2": "available",
        }
        assert len(store.history(HistoryQuery()).leases) == 7
        [repeated] = store.execute([Acquire("stt_billing", request_id="request-6")])
        assert isinstance(repeated, Granted) and repeated.appid == "a4"
        [released] = store.execute([Release("stt_billing", "a2")])
        assert isinstance(released, Released)


def test_services_that_start_together_on_an_old_database_all_serve_it(old):
    with ThreadPoolExecutor(3) as starters, contextlib.ExitStack() as stack:
        started = [starters.submit(ServiceProcess, old) for _ in range(3)]
        for start_of in started:
            stack.callback(start_of.result().end)
        assert schema_of(old) == schema.SCHEMA
        assert [r[0] for r in rows(old, "SELECT count(*) FROM processes")] == [3]


def test_a_migration_is_refused_while_a_service_runs_and_done_once_it_stopped(new, next_version):
    with service_process(new) as running:
        with pytest.raises(ConfigurationError, match="tables can't be changed") as caught:
            open_store(new)
        assert f":{running.process.pid}-" in str(caught.value)
        assert "schema 3" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert schema_of(new) == "3"
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(PATIENCE)
        open_store(new).close()
    assert schema_of(new) == "4"
    assert ("colour",) in rows(new, "SELECT name FROM pragma_table_info('appids')")


def test_a_killed_service_counts_for_ten_seconds_and_a_clock_set_back_keeps_no_row(
    new, next_version
):
    with service_process(new) as running:
        running.end()
    with pytest.raises(ConfigurationError, match="killed counts for 10 more seconds"):
        open_store(new)
    change(new, "UPDATE processes SET seen = seen + 60000")
    open_store(new).close()
    assert schema_of(new) == "4"


def test_a_row_that_was_not_refreshed_for_ten_seconds_is_that_of_a_dead_service(new, next_version):
    with service_process(new) as running:
        running.end()
    change(new, "UPDATE processes SET seen = seen - 10001")
    open_store(new).close()
    assert schema_of(new) == "4"


def test_a_service_refreshes_its_row(new):
    with service_process(new):
        change(new, "UPDATE processes SET seen = 1")
        wait_until(lambda: rows(new, "SELECT seen > 1 FROM processes") == [(1,)])


def test_a_migration_that_fails_changes_nothing(new, next_version):
    next_version.write_text(next_version.read_text() + '    op.execute("no SQL")\n')
    before = shape(new)
    with pytest.raises(ConfigurationError, match="can't be opened"):
        open_store(new)
    assert shape(new) == before


def test_a_newer_database_is_refused_with_both_schemas(new):
    change(new, "UPDATE meta SET value = '7' WHERE key = 'schema'")
    before = shape(new)
    with pytest.raises(ConfigurationError, match=r"schema 7, .* up to 3: update") as caught:
        open_store(new)
    assert caught.value.setting == "database"
    assert shape(new) == before


def test_a_table_of_another_program_is_not_taken_over(tmp_path):
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE leases (id INTEGER)")
    with pytest.raises(ConfigurationError, match="belongs to another program"):
        open_store(path)
    assert rows(path, "SELECT name FROM sqlite_master") == [("leases",)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE meta SET value = '4' WHERE key = 'schema'", "schema 4"),
        ("UPDATE meta SET value = 'length:60' WHERE key = 'hours'", "length:60"),
        ("INSERT INTO meta VALUES ('copied_to', 'postgresql://db/x')", "postgresql://db/x"),
    ],
)
def test_a_service_stops_granting_once_its_database_is_another_one(
    tmp_path, monkeypatch, statement, message
):
    monkeypatch.setattr(registry, "REFRESH_EVERY", 0.0)
    path = tmp_path / "appids.db"
    with LocalService(database=path) as service:
        api = Api(service)
        with api.session:
            api.init("p", {"a1": "v1", "a2": "v2"})
            assert api.acquire("p")[0] == 200
            change(path, statement)
            code, body = api.acquire("p")
            assert (code, body["error"], body["reason"]) == (503, "unavailable", "incompatible")
            assert message in body["message"]
            assert api.get("/api/appid/status")[0] == 503


def test_a_start_that_migrates_nothing_imports_no_alembic(tmp_path):
    program = (
        "import sys\n"
        "from appid_manager_client.testing import LocalService\n"
        "for _ in range(2):\n"
        "    with LocalService(database=sys.argv[1]): pass\n"
        "print('alembic' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "appids.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")
