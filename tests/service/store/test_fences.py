"""Fences: whatever is asked in whatever order, an AppID's fences grow with its grants."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import (
    Acquire,
    Granted,
    HistoryQuery,
    Init,
    Operation,
    Outcome,
    Release,
    StatusQuery,
    Sweep,
)
from appid_manager_client.server.store.store import Store

HOUR = 100
YEAR = 365 * 24 * 3600
APPIDS = st.sampled_from("abc")
PRODUCTS = st.sampled_from("pq")


class Fences(RuleBasedStateMachine):
    """Three AppIDs that move between two products, over a clock that leaps."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now = 100 * YEAR * 1000
        self.largest: dict[str, int] = {}
        self.store = self.open()

    def open(self) -> Store:
        path = Path(self.directory.name, "appids.db")
        return Store(f"sqlite:///{path}", ShortHours(HOUR), lambda: self.now)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

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


TestFences = Fences.TestCase
TestFences.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_status_and_history_show_the_fence_of_the_last_grant(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'appids.db'}", ShortHours(HOUR), lambda: 1_000_000)
    store.execute([Init("p", {"a": 1, "b": 2})])
    (first,) = store.execute([Acquire("p")])
    _, second = store.execute([Release("p", "a"), Acquire("p", force=True)])
    assert isinstance(first, Granted) and isinstance(second, Granted)
    assert first.fence == 1_000_000, "the time of the grant"
    store.execute([Release("p", "b")])
    (third,) = store.execute([Acquire("p", force=True)])
    assert isinstance(third, Granted)
    assert third.fence == 1_000_001, "one more, where the time would not grow"
    shown = store.status(StatusQuery("p")).appids
    recorded = store.history(HistoryQuery("p"))
    store.close()
    assert shown is not None
    assert {entry.appid: entry.fence for entry in shown} == {"a": 1_000_001, "b": 1_000_000}
    assert [lease.fence for lease in recorded] == [1_000_001, 1_000_000, 1_000_000]


def test_one_that_was_added_again_has_no_fence_before_its_grant(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'appids.db'}", ShortHours(HOUR), lambda: 1_000_000)
    store.execute([Init("p", {"a": 1})])
    store.execute([Acquire("p")])
    store.execute([Init("p", {"a": 1})])
    (entry,) = store.status(StatusQuery("p")).appids or []
    (grant,) = store.execute([Acquire("p")])
    store.close()
    assert entry.fence is None
    assert isinstance(grant, Granted) and grant.fence == 1_000_001


def test_the_floor_is_that_of_all_that_were_ever_removed(tmp_path: Path) -> None:
    now = [2_000_000]
    store = Store(f"sqlite:///{tmp_path / 'appids.db'}", ShortHours(HOUR), lambda: now[0])
    store.execute([Init("p", {"a": 1}), Init("q", {"b": 1})])
    (largest,) = store.execute([Acquire("p")])
    now[0] = 1_000_000
    store.execute([Acquire("q")])
    store.execute([Init("p", {"c": 1})])  # removes the largest fence
    store.execute([Init("q", {"d": 1})])  # removes a smaller one
    store.execute([Init("q", {"a": 1})])
    (grant,) = store.execute([Acquire("q")])
    store.close()
    assert isinstance(largest, Granted) and isinstance(grant, Granted)
    assert (largest.fence, grant.fence) == (2_000_000, 2_000_001)
