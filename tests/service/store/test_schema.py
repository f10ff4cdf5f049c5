"""Databases of older versions: they are carried over with everything in them.

`data/schema1.db` was written by the code of commit 46a8499, with live and ended leases, an
abandoned request, and a retired AppID.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    HistoryQuery,
    Release,
    Released,
    StatusQuery,
)
from appid_manager_client.server.store.store import Store

OLD = Path(__file__).parent / "data" / "schema1.db"
NOW = 1_780_002_613_000  # one second after the last grant in that file


def open_store(path: Path) -> Store:
    return Store(f"sqlite:///{path}", make_hours("UTC"), lambda: NOW)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copy(OLD, tmp_path / "appids.db"))


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of every table, and the statements of every index."""
    tables = rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    found = {str(name): rows(path, f"PRAGMA table_info({name})") for (name,) in tables}
    found["indexes"] = rows(
        path, "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    )
    return found


def test_an_upgraded_database_has_the_shape_of_a_new_one(old, tmp_path):
    open_store(old).close()
    open_store(tmp_path / "new.db").close()
    assert shape(old) == shape(tmp_path / "new.db")
    assert sorted(rows(old, "SELECT * FROM meta")) == sorted(
        rows(tmp_path / "new.db", "SELECT * FROM meta")
    )


def test_an_old_database_keeps_its_appids_leases_and_history(old):
    wanted = "SELECT id, appid, vid, holder, start, stop, ended, ttl, request_id FROM leases"
    before = rows(old, wanted)
    store = open_store(old)
    with contextlib.closing(store):
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
        assert len(store.history(HistoryQuery())) == 7
        [repeated] = store.execute([Acquire("stt_billing", request_id="request-6")])
        assert isinstance(repeated, Granted) and repeated.appid == "a4"
        [released] = store.execute([Release("stt_billing", "a2")])
        assert isinstance(released, Released)
    assert rows(old, "SELECT fence, reserved, note FROM appids GROUP BY 1, 2, 3") == [(0, 0, None)]
