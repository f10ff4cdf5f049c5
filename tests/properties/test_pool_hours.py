"""Ten thousand hours of a pool, in turned time: what the service's log and the callers saw proves the rule of the hour.

Loads, delays, failures, outages, people who give up and jobs that take longer than their hour are drawn from a seed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import pytest

from tests.support.poolworld import Caller, Lent, World

HOUR = 3600.0
HOURS = 500
IN_FLIGHT = 0.02
"""What is given back so shortly before the turn reaches the service after it."""

SKEWS = (-30.0, 0.0, 30.0, 11.5)
ZONES = (0, 15, 30, 45, 330)


class Town:
    """People who want leases of one pool, more in some hours than in others, and what is seen of them."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.chances = world.chances
        self.pool = world.pool(**options)
        self.waiting: OrderedDict[int, Caller] = OrderedDict()
        self.holding: dict[str, Caller] = {}
        self.asked_in: Counter[int] = Counter()
        self.held_over: set[str] = set()
        self.lags: list[float] = []
        self._numbers = 0
        self._load = 0.0
        self._first_after_turn = False

    def live(self, hours: int) -> None:
        """Have `hours` pass, to a moment in the middle of an hour in which everybody has gone home."""
        self.world.run(1.0)
        for hour in range(hours + 4):
            at_home = hour >= hours
            self._load = 0.0 if at_home else self.chances.choice([0.0, 0.0, 1.0, 4.0, 12.0])
            self._arrive_later()
            self.world.after(self.world.to_the_turn, self._note_who_holds)
            self.world.run(HOUR)

    def _arrive_later(self) -> None:
        if self._load:
            self.world.after(self.chances.expovariate(self._load / HOUR), self._arrive)

    def _arrive(self) -> None:
        chances = self.chances
        if not self._load:
            return
        if chances.random() < 0.1:
            # Some come just before the turn.
            self.world.after(self.world.to_the_turn - chances.uniform(0, 8), self._ask)
        for _ in range(chances.choice([1, 1, 1, 2, 6])):
            self._ask()
        self._arrive_later()

    def _ask(self) -> None:
        chances, world = self.chances, self.world
        self._numbers += 1
        number = self._numbers
        min_remaining = chances.uniform(1, 3000) if chances.random() < 0.1 else 0.0
        timeout = chances.choice([0.0, 5.0, 30.0, 600.0, 5000.0])
        self.asked_in[world.service.hour_start()] += 1

        def then(caller: Caller) -> None:
            self._served(number, caller)

        caller = world.ask(self.pool, timeout=timeout, min_remaining=min_remaining, then=then)
        if not caller.done:
            self.waiting[number] = caller
            if chances.random() < 0.05:
                world.after(chances.uniform(0, 20), lambda: self._lose_patience(number, caller))

    def _lose_patience(self, number: int, caller: Caller) -> None:
        if not caller.done:
            caller.leave()
            del self.waiting[number]

    def _served(self, number: int, caller: Caller) -> None:
        self.waiting.pop(number, None)
        if not caller.served:
            return
        world, chances = self.world, self.chances
        lease = caller.lease
        assert lease.held
        assert lease.appid not in self.holding, "two callers have one AppID"
        self.holding[lease.appid] = caller
        if not lease._min_remaining:
            earlier = [
                first
                for first, other in self.waiting.items()
                if first < number and not other.done and not other.lease._min_remaining
            ]
            assert not earlier, f"{number} was served before {earlier}"
        now = world.service_ms() / 1000
        assert lease.start_time / 1000 <= now < lease.hour_end, "an AppID of another hour"
        assert now + lease._min_remaining <= lease.hour_end + 1e-3
        if self._first_after_turn:
            self._first_after_turn = False
            lag = now - (lease.hour_end - HOUR)
            if world.time.now - caller.since > lag:
                self.lags.append(lag)
        world.after(
            chances.expovariate(1 / chances.choice([1, 20, 400])), lambda: self._done(caller)
        )

    def _done(self, caller: Caller) -> None:
        del self.holding[caller.lease.appid]
        if self.world.to_the_turn < IN_FLIGHT:
            self.held_over.add(caller.lease._held_slot.claim.request_id)
        caller.give_back(failed=self.chances.random() < 0.03)

    def _note_who_holds(self) -> None:
        """The hour turns now."""
        held = {caller.lease._held_slot.claim.request_id for caller in self.holding.values()}
        self.held_over |= held
        self._first_after_turn = bool(self.waiting) and not held


def check_the_rule_of_the_hour(world: World) -> None:
    """No AppID twice in an hour, none held by two: what the service handed out, in its own words."""
    free_from: dict[str, int] = {}
    for lent in world.service.log:
        assert lent.hour >= free_from.get(lent.appid, 0), f"{lent} came too early"
        stop = world.service_ms() if lent.stop is None else lent.stop
        free_from[lent.appid] = world.service.hour_start(stop) + world.service._hour


def crossed(world: World, lent: Lent) -> bool:
    return lent.stop is not None and world.service.hour_start(lent.stop) != lent.hour


def check_idle_hours(town: Town) -> None:
    """A pool that nobody asked in an hour gets nothing in the next one, unless somebody asks again."""
    hour_ms = town.world.service._hour
    for lent in town.world.service.log:
        asked = town.asked_in[lent.hour] or town.asked_in[lent.hour - hour_ms]
        waited = any(town.asked_in[lent.hour - n * hour_ms] for n in (2, 3))  # for up to 5000 s
        assert asked or waited, f"{lent} was got for nobody"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("extended", [True, False], ids=["ours", "legacy"])
def test_no_hour_burns_an_appid_that_nobody_holds(seed: int, extended: bool) -> None:
    world = World(
        seed=seed,
        appids=12,
        extended=extended,
        skew=SKEWS[seed % len(SKEWS)],
        zone_minutes=ZONES[seed % len(ZONES)],
    )
    town = Town(world, max_size=4, max_uses=(None, None, 3)[seed % 3])

    town.live(HOURS)

    check_the_rule_of_the_hour(world)
    check_idle_hours(town)
    over = [lent for lent in world.service.log if crossed(world, lent)]
    assert {lent.request_id for lent in over} <= town.held_over
    stats = town.pool.get_stats()
    assert stats.checkouts == len(world.served) > HOURS
    assert world.service.in_use == []
    assert stats.size == stats.waiting == stats.checked_out == stats.errors == 0
    unused = stats.burned - sum(
        (world.service.hour_start(lent.stop or 0) - lent.hour) // world.service._hour
        for lent in over
    )
    assert 0 <= unused <= stats.renewals, "burned are those held over, and renewals in vain"
    assert len(town.lags) > HOURS / 20
    assert min(town.lags) >= 0
    assert max(town.lags) < 0.1


@pytest.mark.parametrize("seed", range(100, 110))
def test_failures_and_outages_lose_no_appid_and_no_caller(seed: int) -> None:
    world = World(
        seed=seed,
        appids=12,
        skew=SKEWS[seed % len(SKEWS)],
        zone_minutes=ZONES[seed % len(ZONES)],
    )
    world.wire.faults = 0.05
    town = Town(world, max_size=3, on_error=("release", "keep")[seed % 2])

    def fail_for_a_while() -> None:
        world.wire.down_until = world.time.now + world.chances.choice([1.0, 60.0, 1000.0])
        world.after(world.chances.uniform(1, 10) * HOUR, fail_for_a_while)

    fail_for_a_while()
    town.live(HOURS // 2)
    world.wire.faults = world.wire.down_until = 0.0
    world.run(2 * HOUR)

    check_the_rule_of_the_hour(world)
    stats = town.pool.get_stats()
    assert stats.errors > 10
    assert stats.checkouts == len(world.served) > HOURS // 2
    assert world.service.in_use == []
    assert stats.size == stats.waiting == stats.checked_out == 0
    assert not town.waiting
