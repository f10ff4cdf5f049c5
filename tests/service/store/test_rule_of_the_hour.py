"""The rule of the hour, as a model beside the store.

Whatever is asked in whatever order, and however the clock jumps: no AppID has two holders, none is
granted, unless forced, in an hour in which it was in use, and none that is reserved.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

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
    Reserve,
    Reserved,
    Sweep,
)
from appid_manager_client.server.records import StatusQuery
from appid_manager_client.server.store.store import Store
from tests.support.postgres import PostgresServer

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
    reserved: bool = False


class TheRuleOfTheHour(RuleBasedStateMachine):
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
        self.now = 1_000_000
        self.products: dict[str, dict[str, Known]] = {}
        self.uses: dict[str, list[tuple[int, int]]] = {}
        self.store = self.open()

    def open(self) -> Store:
        return Store(self.url, ShortHours(HOUR), lambda: self.now)

    def teardown(self) -> None:
        self.store.close()
        self.resources.close()

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
        for appids in self.products.values():
            for name, known in appids.items():
                held = known.held
                if held is not None and held.expires is not None and held.expires <= self.now:
                    # A heartbeat after the clock was set back can move an expiry to before the
                    # start.
                    self.end(name, known, max(held.expires, held.start))

    def end(self, name: str, known: Known, stop: int) -> None:
        assert known.held is not None
        self.uses.setdefault(name, []).append((known.held.start, stop))
        known.last_stop = max(known.last_stop, stop)
        known.held = None

    def last_use(self, name: str) -> int:
        """When the last use ended that isn't later than now, or only ends later."""
        uses = [use for use in self.uses.get(name, []) if use[0] <= self.now]
        return max((stop if stop <= self.now else start for start, stop in uses), default=NEVER)

    @rule(product=st.sampled_from("pq"), count=st.integers(1, 5))
    def init(self, product: str, count: int) -> None:
        names = {f"{product}{number}": number for number in range(count)}
        self.store.execute([Init(product, names)])
        before = self.products.get(product, {})
        self.products[product] = {
            name: Known(reserved=name in before and before[name].reserved) for name in names
        }

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
                self.end(name, known, outcome.stop)
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
            if appids[name].held is None
            and not appids[name].reserved
            and (force or appids[name].last_stop < self.hour_start)
        ]
        granted = [outcome for outcome in outcomes if isinstance(outcome, Granted)]
        assert [grant.appid for grant in granted] == free[:count]
        for grant in granted:
            expires = None if ttl is None else self.now + ttl
            assert (grant.start, grant.expires) == (self.now, expires)
            appids[grant.appid].held = Held(grant.lease_id, self.now, ttl, expires)
        for exhausted in outcomes[len(granted) :]:
            assert isinstance(exhausted, Exhausted)
            all_held = all(known.held or known.reserved for known in appids.values())
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
                self.end(name, known, outcome.stop)
            else:
                assert isinstance(outcome, Refused)
                used = known.last_stop != NEVER
                assert outcome.code == ("already_released" if used else "not_leased")

    @rule(product=st.sampled_from("pq"), number=st.integers(0, 4), reserved=st.booleans())
    def reserve(self, product: str, number: int, reserved: bool) -> None:
        name = f"{product}{number}"
        (outcome,) = self.store.execute([Reserve(product, name, reserved)])
        self.expire()
        known = self.products[product].get(name)
        if known is None:
            assert isinstance(outcome, Refused)
            assert outcome.code == "appid_not_found"
        elif known.held is not None and not known.reserved and not reserved:
            assert isinstance(outcome, Refused)
            assert outcome.code == "in_use"
        else:
            assert isinstance(outcome, Reserved)
            known.reserved = reserved
            if not reserved and known.last_stop > self.now:
                known.last_stop = self.last_use(name)
            assert outcome.state == self.state_of(known)

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
            assert shown[name].state == self.state_of(known)
            assert shown[name].reserved == known.reserved

    @invariant()
    def the_products_count_what_the_status_shows(self) -> None:
        hour_end = self.hour_start + HOUR * 1000
        counted = {counts.product: counts for counts in self.store.products().products}
        for product, appids in self.products.items():
            states = [self.state_of(known) for known in appids.values()]
            found = counted[product]
            assert (found.total, found.available) == (len(states), states.count("available"))
            turns = [hour_end for known in appids.values() if known.held and not known.reserved]
            for known in appids.values():
                if self.state_of(known) == "used_in_current_hour":
                    turns.append(known.last_stop - known.last_stop % (HOUR * 1000) + HOUR * 1000)
            assert found.next == (None if found.available else min(turns, default=None))

    def state_of(self, known: Known) -> str:
        if known.held is not None:
            return "in_use"
        if known.reserved:
            return "reserved"
        return "available" if known.last_stop < self.hour_start else "used_in_current_hour"


def test_the_rule_of_the_hour(database_server: PostgresServer | None) -> None:
    class OnThisEngine(TheRuleOfTheHour):
        server = database_server

    run_state_machine_as_test(
        OnThisEngine,
        settings=settings(
            max_examples=10,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
