"""A copy of a whole database: everything arrives, and only one of the two is used afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from appid_manager_client import ConfigurationError
from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import (
    Abandon,
    Acquire,
    By,
    Granted,
    Init,
    Pause,
    Release,
    Reserve,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store.copying import NOT_COPIED, copy_database
from appid_manager_client.server.store.engines import open_whole
from appid_manager_client.server.store.schema import pending
from appid_manager_client.server.store.store import Store
from appid_manager_client.server.store.tables import meta, metadata, processes
from appid_manager_client.server.store.whole import look

NOW = 1_780_002_000_000
MARKS = ("copied_to", "copying_from")


@dataclass
class Place:
    """A database that a test uses, at one turned time."""

    url: str
    now: int = NOW

    @contextlib.contextmanager
    def store(self):
        with contextlib.closing(
            Store(self.url, make_hours("Asia/Kolkata"), lambda: self.now)
        ) as store:
            yield store

    def do(self, *operations):
        with self.store() as store:
            outcomes = store.execute(operations)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        return outcomes

    def rows(self):
        """All rows of all tables that are copied, without the marks of a copy."""
        with open_whole(self.url) as connection:
            return {
                table.name: [
                    tuple(row)
                    for row in connection.execute(select(table).order_by(*table.primary_key))
                    if table is not meta or row.key not in MARKS
                ]
                for table in metadata.sorted_tables
                if table not in NOT_COPIED
            }

    def is_empty(self):
        if look(self.url).found is None:
            return True
        return not any(rows for name, rows in self.rows().items() if name != "meta")


@pytest.fixture(
    params=[
        "sqlite to sqlite",
        "sqlite to postgresql",
        "postgresql to sqlite",
        "postgresql to postgresql",
    ]
)
def places(request, tmp_path):
    """An empty source and an empty target."""
    with contextlib.ExitStack() as stack:

        def url(name, engine):
            if engine == "sqlite":
                return f"sqlite:///{tmp_path / name}"
            return stack.enter_context(request.getfixturevalue("postgres").database())

        engines = request.param.split(" to ")
        yield [Place(url(f"{number}.db", engine)) for number, engine in enumerate(engines)]


@pytest.fixture
def source(places):
    """A database with everything in it that there can be."""
    source = places[0]
    source.do(Init("p", {"a1": "v1", "a2": 2, "a3": "ü", "a4": "v"}), Init("gone", {"g": 1}))
    source.do(Acquire("p", request_id="r1", ttl_ms=3_600_000, holder="me"), Acquire("gone"))
    source.do(Release("p", "a1"), Release("gone", "g"), Abandon("p", "r2"))
    source.now += 5
    source.do(Init("gone", {}, True), Acquire("p", request_id="r3"), Acquire("p"))
    source.do(Reserve("p", "a4", True, By("ops", "me", "under review")), Pause("gone", False))
    source.do(Init("asleep", {"z": 1}), Pause("asleep", True))
    source.do(Acquire("p", request_id="r4", hold_until=source.now + 5))
    return source


@pytest.fixture
def target(places):
    return places[1]


def refused(place):
    with pytest.raises(ConfigurationError) as caught:
        with place.store():
            pass
    return str(caught.value)


def test_every_table_is_copied_row_for_row(source, target):
    before = source.rows()
    assert all(before.values()), "the test's source must have a row in each table"
    copied = copy_database(source.url, target.url)
    assert target.rows() == source.rows() == before
    assert dict(copied.rows) == {name: len(rows) for name, rows in before.items()}
    assert set(metadata.tables.values()) - NOT_COPIED == set(
        metadata.tables[name] for name in copied.rows
    )
    assert NOT_COPIED == {processes}


def test_the_copy_goes_on_where_the_source_was(source, target):
    with source.store() as store:
        status, history = store.status(StatusQuery()), store.history(HistoryQuery()).leases
        [known] = store.execute([Acquire("p", request_id="r3")])
    copy_database(source.url, target.url)
    target.now = source.now
    with target.store() as store:
        assert store.status(StatusQuery()) == status
        assert store.history(HistoryQuery()).leases == history
        assert store.execute([Acquire("p", request_id="r3")]) == [known]
        # What is added gets numbers of its own, and fences above the removed ones.
        [_, granted] = store.execute([Init("gone", {"g": 1}, True), Acquire("gone")])
        assert isinstance(granted, Granted)
        assert granted.fence > max(record.fence for record in history if record.appid == "g")


def test_services_refuse_the_source_and_name_the_target(source, target):
    copy_database(source.url, target.url)
    message = refused(source)
    assert "was copied to" in message and "\n" not in message
    with pytest.raises(ConfigurationError, match="was copied to"):
        copy_database(source.url, target.url)


def test_a_copy_can_be_copied_back_to_a_new_database(source, target, tmp_path):
    copy_database(source.url, target.url)
    with pytest.raises(ConfigurationError, match="is not empty: it has 5 AppIDs and 5 leases"):
        copy_database(target.url, source.url)
    back = Place(f"sqlite:///{tmp_path / 'back.db'}")
    copy_database(target.url, back.url)
    assert back.rows() == source.rows()
    with back.store():
        pass
    assert "was copied to" in refused(target)


def test_nothing_is_copied_over_other_data(source, target):
    target.do(Init("p", {"x": 1}))
    before = source.rows(), target.rows()
    with pytest.raises(ConfigurationError, match="is not empty: it has 1 AppIDs and 0 leases"):
        copy_database(source.url, target.url)
    assert (source.rows(), target.rows()) == before
    with source.store(), target.store():
        pass


@pytest.mark.parametrize("used", [0, 1])
def test_a_database_that_a_service_uses_is_not_copied(source, places, used):
    with places[used].store():
        with pytest.raises(ConfigurationError, match="while a service uses it"):
            copy_database(places[0].url, places[1].url)
    with source.store():
        pass
    assert places[1].is_empty()


def test_a_database_is_not_copied_to_itself(source):
    with pytest.raises(ConfigurationError, match="to itself"):
        copy_database(source.url, source.url)
    with source.store():
        pass


def test_what_does_not_exist_is_not_copied(tmp_path, target):
    with pytest.raises(ConfigurationError, match="doesn't exist"):
        copy_database(f"sqlite:///{tmp_path / 'none.db'}", target.url)
    assert target.is_empty()


KILLED = """
import os, signal, sys
from appid_manager_client.server.store import copying

name, number = sys.argv[3], int(sys.argv[4])
real = getattr(copying, name)

def killed_there(*args, **options):
    global number
    number -= 1
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)

setattr(copying, name, killed_there)
copying.copy_database(sys.argv[1], sys.argv[2])
"""


def copy_killed_at(source, target, name, number):
    """A process that copies is killed as it calls a function of `copying` for the nth time."""
    command = [sys.executable, "-c", KILLED, source.url, target.url, name, str(number)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == -9, ran.stderr


def test_a_copy_that_is_killed_in_the_middle_changed_nothing(source, target):
    before = source.rows()
    copy_killed_at(source, target, "_copy", 3)
    assert target.is_empty()
    assert source.rows() == before
    with source.store():
        pass
    copy_database(source.url, target.url)
    assert target.rows() == source.rows()


@pytest.mark.parametrize(
    ("name", "number", "usable"),
    [("write_meta", 2, ["source"]), ("open_whole", 3, [])],
    ids=["before the source has its mark", "before the target loses its mark"],
)
def test_a_copy_that_is_killed_at_its_end_leaves_one_to_use_at_most(
    source, target, name, number, usable
):
    copy_killed_at(source, target, name, number)
    assert "is an unfinished copy of" in refused(target)
    if usable:
        source.do(Acquire("p", force=True))  # goes on, and is copied with the rest
    else:
        assert "was copied to" in refused(source)
    copied = copy_database(source.url, target.url)
    assert target.rows() == source.rows()
    assert dict(copied.rows) == {name: len(rows) for name, rows in source.rows().items()}
    with target.store():
        pass
    assert "was copied to" in refused(source)


def test_an_older_database_is_migrated_before_it_is_copied(target, tmp_path):
    from tests.service.store.test_schema import OLD

    old = tmp_path / "old.db"
    old.write_bytes(OLD.read_bytes())
    with pytest.raises(ConfigurationError, match="schema 1: run appid-manager migrate"):
        copy_database(f"sqlite:///{old}", target.url)
    with open_whole(f"sqlite:///{old}") as connection:
        assert pending(connection, "x").found == "1"
