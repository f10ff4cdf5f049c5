"""Fences: whatever is asked in whatever order, an AppID's fences grow with its grants."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    Init,
    Operation,
    Outcome,
    Release,
    Sweep,
)
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store.store import Store
from tests.support.postgres import PostgresServer

from .world import World

HOUR = 100
YEAR = 365 * 24 * 3600
APPIDS = st.sampled_from("abc")
PRODUCTS = st.sampled_from("pq")


class Fences(RuleBasedStateMachine):
    """Three AppIDs that move between two products, over a clock that leaps."""

    server: PostgresServer | None
    """Of the databases; `None` for SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        if self.server is None:
            directory = self.resources.enter_context(tempfile.TemporaryDirectory())
            self.url = f"sqlite:///{directory}/appids.db"
        else:
            self.url = self.resources.enter_context(self.server.database())
        self.now = 100 * YEAR * 1000
        self.largest: dict[str, int] = {}
        self.store = self.open()

    def open(self) -> Store:
        return Store(self.url, ShortHours(HOUR), lambda: self.now)

    def teardown(self) -> None:
        self.store.close()
        self.resources.close()

    def do(self, *operations: Operation) -> list[Outcome | Exception]:
        return self.store.execute(operations)

    @initialize()
    def two_products(self) -> None:
        self.do(Init("p", {"a": 1, "b": 2}), Init("q", {"c": 3}))

    @rule(product=PRODUCTS, appids=st.sets(APPIDS, min_size=1), keep_state=st.booleans())
    def init(self, product: str, appids: set[str], keep_state: bool) -> None:
        # Refused where the other product has one of them.
        self.do(Init(product, dict.fromkeys(sorted(appids), 1), keep_state))

    @rule(product=PRODUCTS, count=st.integers(1, 3), ttl=st.sampled_from([None, 1_000, 60_000]))
    def acquire(self, product: str, count: int, ttl: int | None) -> None:
        asked = [Acquire(product, force=True, ttl_ms=ttl) for _ in range(count)]
        for grant in self.do(*asked):
            if isinstance(grant, Granted):
                assert grant.fence is not None
                assert self.largest.get(grant.appid, 0) < grant.fence < 2**53
                self.largest[grant.appid] = grant.fence

    @rule(product=PRODUCTS, appid=APPIDS)
    def release(self, product: str, appid: str) -> None:
        self.do(Release(product, appid))

    @rule(seconds=st.one_of(st.integers(-200, 200), st.integers(-90 * YEAR, 90 * YEAR)))
    def turn_the_clock(self, seconds: int) -> None:
        self.now = max(YEAR * 1000, self.now + seconds * 1000)
        self.do(Sweep())

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.open()


def test_fences_grow_whatever_happens(database_server: PostgresServer | None) -> None:
    class OnThisEngine(Fences):
        server = database_server

    run_state_machine_as_test(
        OnThisEngine,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.store.close()


def granted(world: World, product: str) -> int:
    """The fence of a forced acquire."""
    grant = world.do(Acquire(product, force=True))
    assert isinstance(grant, Granted) and grant.fence is not None
    return grant.fence


def test_status_and_history_show_the_fence_of_the_last_grant(world: World) -> None:
    world.do(Init("p", {"a": 1}))
    first = granted(world, "p")
    assert first == world.now, "the time of the grant"
    world.do(Release("p", "a"))
    assert granted(world, "p") == first + 1, "one more, where the time has not grown"
    (entry,) = world.store.status(StatusQuery("p")).appids or []
    assert entry.fence == first + 1
    recorded = world.store.history(HistoryQuery("p")).leases
    assert [lease.fence for lease in recorded] == [first + 1, first]


def test_one_that_was_added_again_has_no_fence_before_its_grant(world: World) -> None:
    world.do(Init("p", {"a": 1}))
    first = granted(world, "p")
    world.do(Init("p", {"a": 1}))
    (entry,) = world.store.status(StatusQuery("p")).appids or []
    assert entry.fence is None
    assert granted(world, "p") == first + 1


def test_the_floor_is_that_of_all_that_were_ever_removed(world: World) -> None:
    world.do(Init("p", {"a": 1}))
    world.do(Init("q", {"b": 1}))
    largest = granted(world, "p")
    world.now -= 500_000
    assert granted(world, "q") < largest
    world.do(Init("p", {"c": 1}))  # removes the largest fence
    world.do(Init("q", {"d": 1}))  # removes a smaller one
    world.do(Init("q", {"a": 1}))
    assert granted(world, "q") == largest + 1
