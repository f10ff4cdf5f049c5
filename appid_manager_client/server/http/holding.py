"""Requests that are held because their sender waits in line: when each is looked at and answered.

One task watches them all, so a held request costs no thread and no timer. Whether a waiter is
granted, and what becomes of its place, is decided by the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import insort
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Protocol

from ..clock import Clock
from ..operations import (
    Abandon,
    Acquire,
    CheckIn,
    Exhausted,
    Leave,
    Operation,
    Outcome,
    Tend,
    Tended,
)
from ..store.batching import Void

MOST_HELD = 10_000
"""How many requests a service holds by default. Each takes 25 kB at the most."""

# How often changes by other processes are looked for while requests are held, in seconds, and how
# often the line is looked after while none are.
_LOOK_EVERY = 0.25
_TEND_EVERY = 1.0

# How long somebody whom the service can't hold has for coming back when there is something, in ms.
_COME_LATE = 250

# So many are looked at together: half of what the store takes in one transaction.
_AT_ONCE = 128

# Beside those for whom something is free, so many are looked at: some may not want it now.
_SPARE_LOOKS = 2


class Caller(Protocol):
    """Who sent a request."""

    def is_gone(self) -> bool:
        """Return whether nobody waits for an answer any more."""

    def when_gone(self, tell: Callable[[], None]) -> None:
        """Call `tell` once nobody waits for an answer any more; now, if that is so."""


class Submit(Protocol):
    """Has an operation carried out; raises `Void` if `is_void` said so when its turn came."""

    def __call__(
        self, operation: Operation, is_void: Callable[[], bool] | None = None
    ) -> Awaitable[Outcome]: ...


@dataclass(slots=True, eq=False)
class _Held:
    """One request.

    Attributes:
        heard: what its sender hears unless it is granted.
        turn: when what it waits for can be there, as it was when the request came.
        due: when it is looked at next.
        ends_at: until when it is held at the longest, on the loop's clock. The service's own can
            be set.
    """

    operation: Acquire
    hold_until: int
    ends_at: float
    caller: Caller
    answer: asyncio.Future[Outcome]
    heard: Exhausted
    number: int
    turn: int
    due: int

    def finish(self, outcome: Outcome | Exception) -> None:
        """Have the request answered, unless it was."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


@dataclass(slots=True)
class _Line:
    """The requests that are held for one product, in the order of their tickets."""

    held: list[_Held] = field(default_factory=list)
    stock: tuple[int, int] | None = None  # as it was when its first ones were looked at


class Holding:
    """The held requests of one service. For use on one event loop.

    Args:
        submit: has an operation carried out.
        clock: the service's.
        grace: returns for how long, in milliseconds, AppIDs are kept for those who are held.
        report: told why the line could not be looked after; it is tried again.
        most: how many requests are held at once.
    """

    def __init__(
        self,
        submit: Submit,
        clock: Clock,
        grace: Callable[[], int],
        report: Callable[[Exception], None],
        most: int,
    ) -> None:
        self._submit = submit
        self._report = report
        self._clock = clock
        self._grace = grace
        self._most = most
        self._lines: dict[str, _Line] = {}
        self._requests: dict[str, _Held] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._wake_at = 0
        self._tend_at = 0.0
        self._stopping = False

    async def acquire(self, operation: Acquire, wait_ms: int, caller: Caller) -> Outcome:
        """The outcome of an acquire that waits in line, once there is one or `wait_ms` are over.

        Raises:
            Void: its sender is gone, and nothing was granted.
            Unavailable: the store can't carry it out now.
        """
        assert operation.request_id is not None
        loop = asyncio.get_running_loop()
        came = loop.time()
        earlier = self._requests.get(operation.request_id)
        if earlier is not None:
            earlier.finish(earlier.heard)
        now = self._clock()
        has_room = len(self._requests) < self._most and not self._stopping
        operation.hold_until = hold_until = now + wait_ms if has_room else now
        outcome = await self._submit(operation, caller.is_gone)
        if not isinstance(outcome, Exhausted) or outcome.line is None:
            return outcome
        if not has_room:
            late = outcome.available_at + _COME_LATE
            return _coming(outcome, outcome.available_at, late, late) if wait_ms else outcome
        if not operation.force:
            # Over one turn: who loses it comes again, and is not taken for present at the next.
            operation.hold_until = hold_until = min(hold_until, outcome.line.check_in.until)
        if self._stopping or self._clock() >= hold_until:
            return outcome
        held = _Held(
            operation,
            hold_until,
            came + wait_ms / 1000,
            caller,
            loop.create_future(),
            outcome,
            outcome.line.number,
            outcome.available_at,
            self._next_look(operation, outcome),
        )
        return await self._hold(operation.request_id, held)

    async def _hold(self, request_id: str, held: _Held) -> Outcome:
        product = held.operation.product
        line = self._lines.setdefault(product, _Line())
        insort(line.held, held, key=attrgetter("number"))
        self._requests[request_id] = held
        if min(held.due, held.hold_until) < self._wake_at:
            self._wake.set()
        held.caller.when_gone(lambda: held.finish(held.heard))
        try:
            return await held.answer
        finally:
            line.held.remove(held)
            if not line.held:
                del self._lines[product]
            if self._requests.get(request_id) is held:
                del self._requests[request_id]

    @property
    def count(self) -> int:
        """How many requests are held now."""
        return len(self._requests)

    def note_change(self, product: str) -> None:
        """Something of `product` may have become free, by an operation of this process."""
        if product in self._lines:
            self._changed.add(product)
            self._wake.set()

    def let_go(self, operation: Abandon | Leave) -> None:
        """Answer the request whose place was given up."""
        if isinstance(operation, Abandon):
            held = self._requests.get(operation.request_id)
            if held is not None:
                held.finish(held.heard)
            return
        line = self._lines.get(operation.product)
        for held in [] if line is None else line.held:
            if held.heard.line is not None and held.heard.line.ticket == operation.ticket:
                held.finish(held.heard)

    def answer_all(self) -> None:
        """Answer all that is held, in the order of tickets, and hold nothing more.

        Each hears that it may come again at once: to another service, or to the next one here.
        """
        self._stopping = True
        now = self._clock()
        for held in sorted(self._requests.values(), key=attrgetter("number")):
            assert held.heard.line is not None
            _, by, until = held.heard.line.check_in
            held.finish(_coming(held.heard, now, by, until))

    async def watch(self) -> None:
        """Look after the line and all that is held, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause(loop.time())):
                    await self._wake.wait()
            self._wake.clear()
            await self._look_at_due(loop.time())
            if self._changed or loop.time() >= self._tend_at:
                try:
                    await self._tend(loop)
                except Exception as error:
                    self._report(error)

    def _pause(self, now: float) -> float:
        """Seconds until something is to be done; a fourth of one at most while any are held."""
        times = [min(one.due, one.hold_until) for one in self._requests.values()]
        clock = self._clock()
        self._wake_at = min(times, default=clock + 3_600_000)
        return max(0.0, min(self._tend_at - now, (self._wake_at - clock) / 1000))

    async def _look_at_due(self, loop_time: float) -> None:
        now = self._clock()
        due = [
            one
            for line in self._lines.values()
            for one in line.held
            if min(one.due, one.hold_until) <= now or one.ends_at <= loop_time
        ]
        await self._look_at(due, now)

    async def _tend(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after the line, and at those for whom something has become free."""
        changed, self._changed = self._changed, set()
        most = _LOOK_EVERY if self._lines else _TEND_EVERY
        self._tend_at = loop.time() + min(most, self._grace() / 2000)
        tended = await self._submit(Tend(frozenset(self._lines)))
        assert isinstance(tended, Tended)
        for product, stock in tended.stock.items():
            line = self._lines.get(product)
            if line is None:
                continue
            concerned = _losers(line.held, tended.now) if not stock[0] else []
            if stock != line.stock or product in changed:
                line.stock = stock
                concerned = concerned or _first_of(line.held, stock, tended.now)
            await self._look_at(concerned, tended.now)

    async def _look_at(self, held: Sequence[_Held], now: int) -> None:
        """Have the store look at requests, in this order; each is answered as its batch ends.

        In parts: the first ones are answered before the last ones are asked for.
        """
        for start in range(0, len(held), _AT_ONCE):
            part = held[start : start + _AT_ONCE]
            await asyncio.gather(*(self._look_at_one(one, now) for one in part))

    async def _look_at_one(self, held: _Held, now: int) -> None:
        if held.answer.done():
            return
        operation = held.operation
        over = held.hold_until <= now or held.ends_at <= asyncio.get_running_loop().time()
        if over:
            operation.hold_until = now
        try:
            outcome = await self._submit(operation, held.caller.is_gone)
        except Void:
            held.finish(held.heard)
        except Exception as error:
            held.finish(error)
        else:
            if not isinstance(outcome, Exhausted):
                held.finish(outcome)
                return
            held.heard = outcome
            held.due = self._next_look(operation, outcome)
            # Once its turn is over, who can't get one while it is held need not be held any more.
            if over or (held.turn <= now and outcome.available_at >= held.hold_until):
                held.finish(outcome)

    def _next_look(self, operation: Acquire, outcome: Exhausted) -> int:
        if operation.force:
            # Its presence is for so long that one look may fail.
            return outcome.now + self._grace() // 2
        return max(outcome.available_at, outcome.now + 1)


def _losers(held: list[_Held], now: int) -> list[_Held]:
    """Those whose turn is over, where nothing is free to them any more."""
    return [one for one in held if one.turn <= now and not one.operation.force]


def _first_of(held: list[_Held], stock: tuple[int, int], now: int) -> list[_Held]:
    """Those for whom there is something, in the order of their tickets."""
    free, used = stock
    ready = [one for one in held if (one.operation.not_before or 0) <= now]
    first = ready[: free + _SPARE_LOOKS] if free else []
    if free or used:
        forced = [one for one in ready if one.operation.force][: free + used + _SPARE_LOOKS]
        first = sorted({*first, *forced}, key=attrgetter("number"))
    return first


def _coming(outcome: Exhausted, start: int, by: int, until: int) -> Exhausted:
    """The same answer, with another time to come back at."""
    assert outcome.line is not None
    return replace(outcome, line=replace(outcome.line, check_in=CheckIn(start, by, until)))
