"""Many callers of a pool on a simulated clock, and a proof that no AppID was wasted.

The proof uses the service's own log, which has only grants and releases, as they came. The pool
does not know it. Loads, delays, failures, outages, callers that give up, and jobs that outlast
their hour or renew are drawn from the world's seed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from appid_manager_client.lease.claim import Claim
from appid_manager_client.pool.lease import PooledLease
from tests.support.poolservice import Lent
from tests.support.poolworld import HOUR, Caller, World

IN_FLIGHT = 0.02
"""Seconds before the turn; a release that is sent so late reaches the service after it."""
UNCERTAIN = 1.0
"""How much shorter a pool may take the hour to be, in seconds, after hours without an answer."""


@dataclass(frozen=True)
class Use:
    """What one caller had: which grant, and from when to when (ms on the service's clock)."""

    request_id: str
    appid: str
    start: int
    stop: int


@dataclass(frozen=True)
class Proof:
    """The counts of the proof; AppID-hours that crossed a turn are counted by their reasons."""

    grants: int
    uses: int
    waited: int
    held_over: int
    undelivered: int
    failures: int

    def __str__(self) -> str:
        return (
            f"{self.uses} checkouts of {self.grants} AppID-hours, {self.waited} waited in order, "
            f"{self.failures} failed calls; held over a turn: {self.held_over} by a caller, "
            f"{self.undelivered} because their release failed, 0 idle"
        )


class Simulation:
    """Callers who want leases of one pool, more in some hours than in others, and what they got."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.chances = world.chances
        self.pool = world.pool(**options)
        self.waiting: OrderedDict[int, Caller] = OrderedDict()
        self.holding: dict[str, Caller] = {}
        self.asked_in: Counter[int] = Counter()
        self.held_over: set[str] = set()
        self.uses: list[Use] = []
        self.lags: list[float] = []
        self.waited = 0
        self._numbers = 0
        self._load = 0.0
        self._first_after_turn = False

    # --- what they do

    def run(self, hours: int) -> None:
        """Have `hours` pass, and then some more, in which nobody comes and everybody finishes."""
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
            # Some callers come just before the turn.
            self.world.after(self.world.to_the_turn - chances.uniform(0, 8), self._ask)
        for _ in range(chances.choice([1, 1, 1, 2, 6])):
            self._ask()
        self._arrive_later()

    def _ask(self) -> None:
        chances = self.chances
        number = self._next_number()
        min_remaining = chances.uniform(1, 3000) if chances.random() < 0.1 else 0.0
        timeout = chances.choice([0.0, 5.0, 30.0, 600.0, 5000.0])
        caller = self.world.ask(
            self.pool,
            timeout=timeout,
            min_remaining=min_remaining,
            then=lambda caller: self._served(number, caller),
        )
        self._may_wait(number, caller)

    def _next_number(self) -> int:
        self._numbers += 1
        self.asked_in[self.world.service.hour_start()] += 1
        return self._numbers

    def _may_wait(self, number: int, caller: Caller) -> None:
        if not caller.done:
            self.waiting[number] = caller
            if self.chances.random() < 0.05:
                self.world.after(
                    self.chances.uniform(0, 20), lambda: self._lose_patience(number, caller)
                )

    def _lose_patience(self, number: int, caller: Caller) -> None:
        if not caller.done:
            caller.leave()
            del self.waiting[number]

    def _served(self, number: int, caller: Caller) -> None:
        waited = self.waiting.pop(number, None) is not None
        if not caller.served:
            return
        self.waited += waited
        lease = caller.lease
        now = self.world.service_ms() / 1000
        assert lease.held
        assert lease.appid not in self.holding, "two callers have one AppID"
        self.holding[lease.appid] = caller
        assert lease.start_time / 1000 <= now < lease.hour_end, "an AppID of another hour"
        assert now + lease.min_remaining <= lease.hour_end + 1e-3
        overtaken = [
            first
            for first, other in self.waiting.items()
            if first < number and not other.done and _suits(lease, other, now)
        ]
        assert not overtaken, f"{number} was served before {overtaken}"
        if self._first_after_turn:
            self._first_after_turn = False
            lag = now - (lease.hour_end - HOUR)
            if self.world.time.now - caller.since > lag:
                self.lags.append(lag)
        since, spell = self.world.service_ms(), self.chances.choice([1, 20, 400])
        self.world.after(
            self.chances.expovariate(1 / spell), lambda: self._done(number, caller, since)
        )

    def _done(self, number: int, caller: Caller, since: int) -> None:
        lease, now = caller.lease, self.world.service_ms()
        claim = _claim(lease)
        del self.holding[lease.appid]
        self.uses.append(Use(claim.request_id, lease.appid, since, now))
        if self.world.to_the_turn < IN_FLIGHT:
            self.held_over.add(claim.request_id)
        if self._load and self.chances.random() < 0.05:
            again = self._next_number()
            renewed = caller.renew(lambda caller: self._served(again, caller))
            self._may_wait(again, renewed)
        else:
            caller.give_back(failed=self.chances.random() < 0.03)

    def _note_who_holds(self) -> None:
        """Called when the hour turns."""
        held = {_claim(caller.lease).request_id for caller in self.holding.values()}
        self.held_over |= held
        self._first_after_turn = bool(self.waiting) and not held

    # --- what is proven of it

    def prove(self) -> Proof:
        """No AppID twice in an hour, none held by two, none burned while it was idle."""
        assert not self.waiting, "a caller still waits: it was neither served nor refused in time"
        self._prove_the_log_itself()
        self._prove_that_uses_are_in_the_log()
        self._prove_that_nothing_was_acquired_for_nobody()
        over = self.crossings()
        failed = self.world.wire.failed_releases
        undelivered = {
            lent.request_id
            for lent in over
            for release in failed
            if lent.start <= release.at < lent.hour + self.world.service.hour_ms
            and release.ids & {lent.appid, lent.lease_id, lent.request_id}
        }
        idle = {lent.request_id for lent in over} - self.held_over - undelivered
        assert not idle, f"burned while nobody held them, and no release had been tried: {idle}"
        return Proof(
            grants=len(self.world.service.log),
            uses=len(self.uses),
            waited=self.waited,
            held_over=len(self.held_over & {lent.request_id for lent in over}),
            undelivered=len(undelivered - self.held_over),
            failures=self.pool.get_stats().errors + len(failed),
        )

    def crossings(self) -> list[Lent]:
        """The grants that were not released in their own hour."""
        hour_start = self.world.service.hour_start
        return [lent for lent in self.world.service.log if hour_start(lent.stop) != lent.hour]

    def _prove_the_log_itself(self) -> None:
        service = self.world.service
        free_from: dict[str, int] = {}
        for lent in service.log:
            assert lent.hour >= free_from.get(lent.appid, 0), f"{lent} came too early"
            assert lent.stop is not None, f"{lent} was never given back"
            free_from[lent.appid] = service.hour_start(lent.stop) + service.hour_ms

    def _prove_that_uses_are_in_the_log(self) -> None:
        """What a caller had was its own: granted before, in that hour, and released after."""
        log = {lent.request_id: lent for lent in self.world.service.log}
        hour_start = self.world.service.hour_start
        ended: dict[str, int] = {}
        for use in sorted(self.uses, key=lambda use: (use.start, use.stop)):
            lent = log[use.request_id]
            assert lent.appid == use.appid
            assert lent.stop is not None and lent.start <= use.start and use.stop <= lent.stop
            assert hour_start(use.start) == lent.hour, f"{use} began with what {lent.hour} granted"
            assert ended.get(use.appid, 0) <= use.start, f"two had {use.appid}"
            ended[use.appid] = use.stop

    def _prove_that_nothing_was_acquired_for_nobody(self) -> None:
        """After an hour without callers, a pool acquires nothing until somebody asks again."""
        hour_ms = self.world.service.hour_ms
        for lent in self.world.service.log:
            # Callers of the two hours before those may still be waiting: for up to 5000 s.
            asked = any(self.asked_in[lent.hour - number * hour_ms] for number in range(4))
            assert asked, f"{lent} was acquired for nobody"


def _claim(lease: PooledLease) -> Claim:
    assert lease.slot is not None
    return lease.slot.claim


def _suits(lease: PooledLease, other: Caller, now: float) -> bool:
    """Whether `other` could have had what `lease` got."""
    enough = now + other.lease.min_remaining < lease.hour_end - UNCERTAIN
    return enough and lease.hour_end > other.not_before
