"""What defines the hour is stored with the data: all services of a database have the same hours."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from appid_manager_client import ConfigurationError
from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Init, Release
from appid_manager_client.server.store.store import Store
from appid_manager_client.testing import LocalService

HOUR = 3_600_000
NOW = 1_780_002_000_000  # the start of an hour of UTC
MINUTE = 60_000


class World:
    """Stores on one file, at one turned time."""

    def __init__(self, path):
        self.path, self.now, self.stores = path, NOW + 20 * MINUTE, []

    def open(self, timezone="UTC", seconds=None, **options):
        hours = make_hours(timezone, seconds)
        store = Store(f"sqlite:///{self.path}", hours, lambda: self.now, **options)
        self.stores.append(store)
        return store


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "appids.db")
    yield made
    for store in made.stores:
        store.close()


@pytest.mark.parametrize(
    ("others", "shown"),
    [(("UTC", 60), "length:60"), (("Asia/Kathmandu", None), "zone:Asia/Kathmandu")],
)
def test_other_hours_are_refused_with_both_named(world, others, shown):
    world.open()
    with pytest.raises(ConfigurationError) as caught:
        world.open(*others)
    assert "zone:UTC" in str(caught.value) and shown in str(caught.value)
    assert "--change-hours" in str(caught.value)
    world.open()


@pytest.mark.parametrize("others", [("Etc/UTC", None), ("Europe/Berlin", None), ("UTC", 3600)])
def test_another_name_for_the_same_hours_is_let_in(world, others):
    first, second = world.open(), world.open(*others)
    [_, granted] = first.execute([Init("p", {"a": 1}), Acquire("p")])
    assert isinstance(granted, Granted)
    assert not isinstance(second.execute([Release("p", "a")])[0], Exception)


def test_hours_that_nobody_knows_here_are_refused(world):
    world.open()
    with contextlib.closing(sqlite3.connect(world.path)) as database, database:
        database.execute("UPDATE meta SET value = 'zone:Mars/Base' WHERE key = 'hours'")
    with pytest.raises(ConfigurationError, match="zone:Mars/Base"):
        world.open()


def test_changed_hours_judge_every_appid_from_then_on(world):
    store = world.open()
    world.now = NOW + 5 * MINUTE
    store.execute([Init("p", {"a": 1}), Acquire("p")])
    store.execute([Release("p", "a")])
    world.now = NOW + 20 * MINUTE
    store.close()
    world.stores.remove(store)
    # An hour of Kathmandu began at a quarter past.
    changed = world.open("Asia/Kathmandu", change_hours=True)
    assert isinstance(changed.execute([Acquire("p")])[0], Granted)
    world.open("Asia/Kathmandu")
    with pytest.raises(ConfigurationError, match="zone:Asia/Kathmandu"):
        world.open()


def test_hours_are_not_changed_while_a_service_uses_them(world):
    world.open()
    with pytest.raises(ConfigurationError, match="hours can't be changed while a service uses it"):
        world.open("UTC", 60, change_hours=True)
    world.open()


def test_a_local_service_on_a_file_that_was_kept_needs_the_same_hours(tmp_path):
    file = tmp_path / "kept.db"
    with LocalService(hour_seconds=60, database=file):
        pass
    with LocalService(hour_seconds=60, database=file):
        pass
    with pytest.raises(ConfigurationError, match="length:60.*length:30"):
        with LocalService(hour_seconds=30, database=file):
            pass
    with LocalService(hour_seconds=30, database=file, change_hours=True):
        pass
