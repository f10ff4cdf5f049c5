"""What a pool does next: a state machine without I/O, threads or callbacks; its methods are called under one lock.

It is told what happened (a checkout, a return, an answer of the service) and what time it is, and decides who is
served, what is given back, and what is asked for. `pool.py` carries that out; a simulation does so in turned time.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from ..errors import LeaseInUse, PoolTimeout
from ..lease.claim import Claim, ClaimState
from ..lease.held import LeaseState
from ..runtime.time import SystemTime
from ..wire.clock import ServerClock
from ..wire.models import Wait
from .demand import Asking
from .hour import Turn
from .lease import PooledLease
from .model import PoolOptions, PoolStats, Slot, SlotState
from .queue import Waiter
from .refusals import Refusals
from .slots import Shelf, suits

_CLOCK_STALE = 30.0
_SHORTEST_PAUSE = 0.001

_ACQUIRING, _HELD = LeaseState.ACQUIRING, LeaseState.HELD
_RELEASED = LeaseState.RELEASED


@dataclass(slots=True)
class Todo:
    """What is to be done, outside the lock.

    Attributes:
        tell: waiters that have a lease or an error now.
        give_back: slots to release.
        give_up: claims that nobody wants any more.
        ask: acquires to send; a claim where an earlier try of it got no answer.
        learn: whether to ask for the service's hours; `look`: whether to ask for its time.
        pause: seconds after which to decide again if nothing happens before; `None`: nothing will be due.
    """

    tell: list[Waiter] = field(default_factory=list)
    give_back: list[Slot] = field(default_factory=list)
    give_up: list[Claim] = field(default_factory=list)
    ask: list[Claim | None] = field(default_factory=list)
    learn: bool = False
    look: bool = False
    pause: float | None = None


class PoolPlan(Shelf):
    """The state of one pool, and what follows from it."""

    def __init__(
        self,
        product_name: str,
        service: str,
        options: PoolOptions,
        clock: ServerClock,
        system: SystemTime,
    ) -> None:
        super().__init__(options, Turn(clock, system, options.renew_margin), system)
        self.product_name = product_name
        self.clock = clock
        self.asking = Asking(clock, system)
        self._refusals = Refusals(product_name, service)
        self._todo = Todo()
        self._renew_to = 0
        self._learnt_for: float | None = None
        self._looked_for: float | None = None
        self._judged: tuple[object, int] = (None, 0)

    # --- checkouts

    def enqueue(self, waiter: Waiter, now: float) -> None:
        """Have `waiter` wait.

        Raises:
            LeaseInUse: its lease holds, or waits for, an AppID already.
            PoolClosed: the pool was closed.
            PoolTimeout: it doesn't want to wait.
            ValueError: it needs more than an hour of its hour.
        """
        lease = waiter.lease
        if lease._state in (_HELD, _ACQUIRING):
            raise LeaseInUse(
                f"this lease of {self.product_name} is {lease._state.value} already: make one lease for each block"
            )
        if self.closed:
            raise self._refusals.closed()
        if self._asks_too_much(lease):
            raise self._too_much(lease)
        if waiter.deadline is not None and waiter.deadline <= now:
            raise self.timed_out(waiter, now)
        lease._state = _ACQUIRING
        self.line.join(waiter)
        if (
            self.line.choosy
            or self.idle
            or now >= self.turn.closes_at
            or len(self.slots) + self.asking.under_way < self.options.max_size
        ):
            self.restless = True

    def stop_waiting(self, waiter: Waiter) -> None:
        """`waiter` is not there any more: it was cancelled, interrupted, or its time is over."""
        self.line.leave(waiter)
        if waiter.lease._state is _ACQUIRING:
            waiter.lease._state = _RELEASED

    def timed_out(self, waiter: Waiter, now: float) -> PoolTimeout:
        """The error for `waiter`, whose time is over."""
        return self._timeout(waiter, now, self._hopeless_until(waiter, now))

    # --- what the service said

    def granted(self, claim: Claim, hour_end: float, now: float) -> None:
        """An acquire brought an AppID of the hour that ends at `hour_end`."""
        self.restless = True
        self.asking.under_way -= 1
        self.asking.granted()
        self.figures.acquired += 1
        self.figures.renewals += bool(self._renew_to)
        if claim.state is not ClaimState.HELD:
            return  # lost, or given back by the client's end, before it got here
        closes_at, ends_at = self.turn.bounds(now, hour_end)
        self.add(
            Slot(claim, hour_end, closes_at, ends_at, claim.ttl if claim.beating else None), now
        )

    def refused(
        self,
        claim: Claim | None,
        outcome: Wait | None,
        error: Exception | None,
        sent: float,
        now: float,
    ) -> None:
        """An acquire brought nothing: a 202 (`outcome`), an error, or neither where it wasn't even sent."""
        self.restless = True
        self.asking.under_way -= 1
        if outcome is not None and self.asking.exhausted(outcome, sent, now):
            self._renew_to = 0
        if error is not None and self._call_failed(error, now) and claim is not None:
            self.asking.parked.append(claim)
        elif claim is not None:
            self._todo.give_up.append(claim)

    def learnt(self, error: Exception | None, now: float) -> None:
        """A question for the service's time or hours came to its end."""
        self.restless = True
        self.asking.learning = False
        if error is None:
            self.asking.succeeded()
        else:
            self._call_failed(error, now)

    def _call_failed(self, error: Exception, now: float) -> bool:
        """Whether waiting can mend it. If it can't, everybody who waits is told at once."""
        if self.asking.failed(error, now):
            return True
        for waiter in list(self.line):
            self._fail(waiter, copy.copy(error))
        return False

    # --- decisions

    def decide(self, now: float) -> Todo:
        """All that is to be done now."""
        self.restless = False
        hour_end = self.turn.hour_end
        turned = self.turn.refresh(now)
        if turned:
            # What was checked out at once is to be reacquired; a pool that idled through an hour doesn't hoard.
            self._renew_to = min(self.new_hour(turned), self.options.max_size)
            self.asking.exhausted_until = None
        elif self.turn.hour_end != hour_end:
            self.hours_moved()
        self.set_aside(now)
        self.sort_out(now)
        self._judge(now)
        self._want(now)
        self._todo.give_back = self.leaving()
        self._want_time(now)
        todo, self._todo = self._todo, Todo()
        todo.tell += self.served
        self.served.clear()
        todo.pause = self._pause(now)
        return todo

    def may_ask(self, now: float) -> bool:
        """Whether an acquire that was decided upon may still be sent: not if the hour is about to turn."""
        return not self.closed and now < self.turn.closes_at

    def close(self) -> None:
        """No more leases: whoever waits is told, what is idle is given back, and what is out when it comes back."""
        self.closed = True
        self.restless = True
        for waiter in list(self.line):
            self._fail(waiter, self._refusals.closed())

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the service or back."""
        asking = self.asking
        if self.idle or asking.under_way or asking.learning or asking.parked:
            return True
        return self.count(SlotState.LEAVING, SlotState.GIVING_BACK) > 0

    def _judge(self, now: float) -> None:
        """Tell those at once for whom nothing can come in time; each is judged once in each situation."""
        turn = self.turn
        if turn.hour_end is None or not self.line.total:
            return
        nothing_left = self.asking.exhausted_until, self._nothing_comes(now)
        situation = (turn.hour_end, now >= turn.closes_at, nothing_left)
        last, arrivals = self._judged
        known = arrivals if last == situation else 0
        self._judged = (situation, self.line.arrivals)
        for waiter in [waiter for waiter in self.line if waiter.number > known]:
            if self._asks_too_much(waiter.lease):
                self._fail(waiter, self._too_much(waiter.lease))
                continue
            until = self._hopeless_until(waiter, now)
            if until is None or waiter.deadline is None:
                continue
            if now + self.clock.seconds_until(until) > waiter.deadline:
                self._fail(waiter, self._timeout(waiter, now, until))

    def _hopeless_until(self, waiter: Waiter, now: float) -> float | None:
        """The moment on the service's clock before which `waiter` can't get anything; `None`: at any time."""
        turn = self.turn
        if turn.hour_end is None:
            return None
        if now >= turn.closes_at or not suits(waiter.lease, turn.hour_end, turn.ends_at, now):
            return turn.hour_end
        if self.asking.exhausted_until is not None and self._nothing_comes(now):
            return self.asking.exhausted_until
        return None

    def _nothing_comes(self, now: float) -> bool:
        return not self.asking.under_way and self.nothing_comes_back(now)

    def _want(self, now: float) -> None:
        """Ask for what is missing; give up what is in doubt where nobody needs it, or the next hour would be burned."""
        asking = self.asking
        missing = 0 if self.closed else self._missing(now)
        if self.turn.hour_end is None and not self.closed:
            if missing and not asking.learning and now >= self._ask_at:
                self._todo.learn = asking.learning = True
        elif not missing or not self.may_ask(now):
            self._todo.give_up += asking.parked
            asking.parked.clear()
        elif now >= self._ask_at:
            for _ in range(min(missing, asking.limit) - asking.under_way):
                if self._room <= 0:
                    break
                asking.under_way += 1
                self._todo.ask.append(asking.parked.pop() if asking.parked else None)

    def _want_time(self, now: float) -> None:
        """Look the service's hours up once an hour where grants don't tell them, and its time before a turn."""
        asking, turn = self.asking, self.turn
        if self.closed or turn.hour_end is None or asking.learning or asking.under_way:
            return
        if now < turn.closes_at:
            # Zones shift, some by half an hour; and an hour that was only reckoned may be wrong.
            if self.slots and self._learnt_for != turn.hour_end and not self.clock.hour_known:
                self._learnt_for = turn.hour_end
                self._todo.learn = asking.learning = True
        elif self._looked_for != turn.hour_end and self._expects_something:
            if self.clock.age > _CLOCK_STALE and not self._todo.give_back:
                self._looked_for = turn.hour_end
                self._todo.look = asking.learning = True

    def _missing(self, now: float) -> int:
        """How many AppIDs to ask for, on top of those that are held for this hour."""
        missing = len(self.line.waiting)
        standing = max(self.options.min_size, self._renew_to)
        if standing and self.asking.may_fill(now):
            fresh = self.fresh(now)
            if fresh >= self._renew_to:
                self._renew_to = 0
            missing = max(missing, max(self.options.min_size, self._renew_to) - fresh)
        return missing

    @property
    def _room(self) -> int:
        return self.options.max_size - len(self.slots) - self.asking.under_way

    @property
    def _ask_at(self) -> float:
        return max(self.turn.ask_from, self.asking.ask_at(bool(self.line.total)))

    @property
    def _expects_something(self) -> bool:
        return bool(self.line.total or self.peak or self._renew_to or self.options.min_size)

    def _pause(self, now: float) -> float | None:
        """Seconds until something is due by itself."""
        asking, turn = self.asking, self.turn
        if self.closed or not (self.slots or asking.parked or self._expects_something):
            return None
        moments = []
        if turn.hour_end is not None:
            moments.append(turn.closes_at if now < turn.closes_at else turn.opens_at)
        if not (asking.learning or asking.under_way) and self._room > 0:
            if turn.hour_end is None or now < turn.closes_at:
                ask_at = self._ask_at
                if ask_at > now:
                    moments.append(ask_at)
        return max(_SHORTEST_PAUSE, min(moments) - now) if moments else None

    # --- errors and figures

    def _fail(self, waiter: Waiter, error: BaseException) -> None:
        self.line.leave(waiter)
        waiter.error = error
        waiter.lease._state = _RELEASED
        self._todo.tell.append(waiter)

    def _asks_too_much(self, lease: PooledLease) -> bool:
        return bool(lease._min_remaining) and lease._min_remaining >= self.clock.hour_length

    def _too_much(self, lease: PooledLease) -> ValueError:
        return self._refusals.too_much(lease._min_remaining, self.clock.hour_length)

    def _timeout(self, waiter: Waiter, now: float, available_at: float | None) -> PoolTimeout:
        self.figures.timeouts += 1
        figures = (
            f"{self.count(SlotState.OUT)} of at most {self.options.max_size} are checked out, "
            f"{self.line.total} callers wait"
        )
        return self._refusals.timeout(
            now - waiter.since, figures, available_at, self.asking.last_error
        )

    def stats(self, now: float, *, maintained: bool) -> PoolStats:
        """The figures of this moment."""
        asking, figures, turn = self.asking, self.figures, self.turn
        return PoolStats(
            product_name=self.product_name,
            min_size=self.options.min_size,
            max_size=self.options.max_size,
            size=len(self.slots),
            idle=self.count(SlotState.IDLE),
            checked_out=self.count(SlotState.OUT),
            giving_back=self.count(SlotState.LEAVING, SlotState.GIVING_BACK),
            asking=asking.under_way,
            waiting=self.line.total,
            checkouts=figures.checkouts,
            wait_seconds=figures.wait_seconds,
            timeouts=figures.timeouts,
            acquired=figures.acquired,
            renewals=figures.renewals,
            burned=figures.burned,
            lost=figures.lost,
            errors=asking.errors,
            last_error=None if asking.last_error is None else str(asking.last_error),
            exhausted=asking.exhausted_until is not None,
            next_turn=None if turn.hour_end is None else max(0.0, turn.opens_at - now),
            maintained=maintained,
            closed=self.closed,
        )
