"""The rule of the hour, as a model beside the store.

Whatever is asked in whatever order, and however the clock jumps: no AppID has two holders, and
none is granted, unless forced, in an hour in which it was in use.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appid_manager_client.server.hours import ShortHours
from appid_manager_client.server.operations import (
    Acquire,
    Exhausted,
    Extended,
    Granted,
    Heartbeat,
    Init,
    Refused,
    Release,
    Released,
    StatusQuery,
    Sweep,
)
from appid_manager_client.server.store.store import Store

HOUR = 100
NEVER = -1


@dataclass
class Held:
    lease_id: str
    start: int
    ttl: int | None
    expires: int | None


@dataclass
class Known:
    """What the model knows of one AppID."""

    last_stop: int = NEVER
    held: Held | None = None


class TheRuleOfTheHour(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now = 1_000_000
        self.products: dict[str, dict[str, Known]] = {}
        self.store = self.open()

    def open(self) -> Store:
        path = Path(self.directory.name, "appids.db")
        return Store(f"sqlite:///{path}", ShortHours(HOUR), lambda: self.now)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @initialize()
    def two_products(self) -> None:
        self.init("p", 4)
        self.init("q", 2)

    @property
    def hour_start(self) -> int:
        return self.now - self.now % (HOUR * 1000)

    def every(self):
        return [known for appids in self.products.values() for known in appids.values()]

    def expire(self) -> None:
        for known in self.every():
            held = known.held
            if held is not None and held.expires is not None and held.expires <= self.now:
                # A heartbeat after the clock was set back can move an expiry to before the start.
                known.last_stop = max(known.last_stop, held.expires, held.start)
                known.held = None

    @rule(product=st.sampled_from("pq"), count=st.integers(1, 5))
    def init(self, product: str, count: int) -> None:
        names = {f"{product}{number}": number for number in range(count)}
        self.store.execute([Init(product, names)])
        self.products[product] = {name: Known() for name in names}

    @rule(product=st.sampled_from("pq"), count=st.integers(1, 5))
    def keep_state(self, product: str, count: int) -> None:
        self.store.execute(
            [Init(product, {f"{product}{n}": n for n in range(count)}, keep_state=True)]
        )
        self.expire()
        before = self.products[product]
        wanted = {f"{product}{n}": before.get(f"{product}{n}", Known()) for n in range(count)}
        # An AppID in use stays until it is released. To keep the model small, that is at once.
        for name, known in before.items():
            if name not in wanted and known.held is not None:
                (outcome,) = self.store.execute([Release(product, name, known.held.lease_id)])
                assert isinstance(outcome, Released)
        self.products[product] = wanted

    @rule(
        product=st.sampled_from("pq"),
        count=st.integers(1, 6),
        force=st.booleans(),
        ttl=st.sampled_from([None, 1_000, 60_000, 250_000]),
    )
    def acquire(self, product: str, count: int, force: bool, ttl: int | None) -> None:
        asked = [Acquire(product, force, ttl_ms=ttl) for _ in range(count)]
        outcomes = self.store.execute(asked)
        self.expire()
        appids = self.products[product]
        order = list(appids)
        free = [
            name
            for name in sorted(order, key=lambda n: (appids[n].last_stop, order.index(n)))
            if appids[name].held is None and (force or appids[name].last_stop < self.hour_start)
        ]
        granted = [outcome for outcome in outcomes if isinstance(outcome, Granted)]
        assert [grant.appid for grant in granted] == free[:count]
        for grant in granted:
            expires = None if ttl is None else self.now + ttl
            assert (grant.start, grant.expires) == (self.now, expires)
            appids[grant.appid].held = Held(grant.lease_id, self.now, ttl, expires)
        for exhausted in outcomes[len(granted) :]:
            assert isinstance(exhausted, Exhausted)
            all_held = all(known.held is not None for known in appids.values())
            assert exhausted.reason == ("waiting" if all_held else "no_available")
            assert exhausted.available_at == (self.now if force else self.hour_start + HOUR * 1000)

    @rule(product=st.sampled_from("pq"), number=st.integers(0, 4), times=st.integers(1, 2))
    def release(self, product: str, number: int, times: int) -> None:
        name = f"{product}{number}"
        outcomes = self.store.execute([Release(product, name) for _ in range(times)])
        self.expire()
        known = self.products[product].get(name)
        for outcome in outcomes:
            if known is None:
                assert isinstance(outcome, Refused)
                assert outcome.code == "appid_not_found"
            elif known.held is not None:
                assert isinstance(outcome, Released)
                assert outcome.stop == max(self.now, known.held.start)
                known.last_stop = max(known.last_stop, outcome.stop)
                known.held = None
            else:
                assert isinstance(outcome, Refused)
                used = known.last_stop != NEVER
                assert outcome.code == ("already_released" if used else "not_leased")

    @precondition(lambda self: any(known.held for known in self.every()))
    @rule()
    def heartbeat(self) -> None:
        leases = [known.held for known in self.every() if known.held is not None]
        (outcome,) = self.store.execute([Heartbeat([held.lease_id for held in leases], self.now)])
        assert isinstance(outcome, Extended)
        self.expire()
        alive = {known.held.lease_id: known.held for known in self.every() if known.held}
        for held in alive.values():
            held.expires = None if held.ttl is None else self.now + held.ttl
        assert outcome.expires == {lease_id: held.expires for lease_id, held in alive.items()}
        assert set(outcome.lost) == {held.lease_id for held in leases} - set(alive)

    @rule(seconds=st.one_of(st.integers(0, 10), st.integers(-250, 400)))
    def turn_the_clock(self, seconds: int) -> None:
        self.now += seconds * 1000

    @rule()
    def turn_the_hour(self) -> None:
        self.now = self.hour_start + HOUR * 1000

    @rule()
    def restart(self) -> None:
        self.store.execute([Sweep()])
        self.expire()
        self.store.close()
        self.store = self.open()
        for known in self.every():
            if known.held is not None and known.held.ttl is not None:
                known.held.expires = self.now + known.held.ttl

    @invariant()
    def the_status_is_that_of_the_model(self) -> None:
        self.store.execute([Sweep()])
        self.expire()
        status = self.store.status(StatusQuery())
        assert status.appids is not None
        shown = {entry.appid: entry for entry in status.appids}
        expected = {name: k for appids in self.products.values() for name, k in appids.items()}
        assert set(shown) == set(expected)
        for name, known in expected.items():
            if known.held is not None:
                assert shown[name].state == "in_use"
            elif known.last_stop < self.hour_start:
                assert shown[name].state == "available"
            else:
                assert shown[name].state == "used_in_current_hour"


TestTheRuleOfTheHour = TheRuleOfTheHour.TestCase
TestTheRuleOfTheHour.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
