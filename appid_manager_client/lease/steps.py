"""What an acquire does, in order: written once, for threads and coroutines alike.

The steps are a generator of calls and pauses; `acquirer.py` performs them. When to try again is
decided by the plan (`waiting.py`). A claim that nobody waits for any more (timeout, interrupt,
cancelled task) is given up to the keeper.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..errors import AppIdManagerError, InvalidRequest, NoAppIdAvailable, TransportError
from ..events import Event, EventHook, EventKind, emit
from ..runtime.tracing import span
from ..wire.models import Asking, Grant, Wait
from ..wire.retry import MIN_PAUSE
from .claim import Claim
from .keeper import LeaseKeeper
from .place import HOLDING_ROOM
from .waiting import AcquirePlan
from .waitlog import WaitLog


@dataclass(frozen=True, slots=True)
class Call:
    """Do `work`, which talks to the service. After `patience` seconds, raise `late()`.

    If it takes more than `LONG_WAIT` seconds, call `slow()`. `held`: the service is asked to hold
    its answer back.
    """

    work: Callable[[], Any]
    patience: float | None
    late: Callable[[], AppIdManagerError]
    slow: Callable[[], object]
    held: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


def _say_nothing() -> None:
    """For a call of which it was said that it takes long."""


Steps = Generator[Call | Pause, Any, Claim]


class AcquireSteps:
    """The steps of one acquire.

    Args:
        open_claim: makes a claim; called again where only a new request can get a grant.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        plan: AcquirePlan,
        product_name: str,
        open_claim: Callable[[], Claim],
        on_event: EventHook | None,
    ) -> None:
        self._keeper = keeper
        self._api = keeper.api
        self._plan = plan
        self._product_name = product_name
        self._open_claim = open_claim
        self._on_event = on_event
        self._log = WaitLog(product_name)
        self._checked = False

    def run(self) -> Steps:
        """Yield each step, to be sent its result or its error. Returns the claim with the grant."""
        service = self._api.base_url
        with span("acquire", service=service, product=self._product_name):
            claim = yield from self._acquire()
        if claim.on_lost is not None:
            claim.trace_lease(service)
        return claim

    def _acquire(self) -> Steps:
        plan, keeper = self._plan, self._keeper
        claim = self._open_claim()
        try:
            while True:
                yield from self._wait_for_fresh_hour()
                try:
                    outcome = yield from self._try(claim)
                except TransportError as error:
                    yield from self._pause(plan.after_error(error))
                    continue
                except InvalidRequest as error:
                    if plan.is_refused_place(error):
                        plan.place.refuse()
                        continue
                    if error.code != "request_ended" or plan.out_of_tries:
                        raise
                    # An answer was lost, and the lease that it brought has ended since.
                    keeper.give_up(claim)
                    claim = self._open_claim()
                    yield Pause(MIN_PAUSE)
                    continue
                if isinstance(outcome, Wait):
                    yield from self._check_product()
                    pause = plan.after_wait(outcome)
                    if pause:
                        yield from self._pause(pause)
                elif not plan.needs_hours or (
                    plan.until_fresh_hour(self._api.clock.hour_end()) is None
                ):
                    keeper.emit(EventKind.ACQUIRED, claim, plan.waited)
                    return claim
                else:
                    # It came so late that too little is left of its hour.
                    yield self._call(partial(keeper.try_release, claim))
                    claim = self._open_claim()
        except BaseException as error:
            if plan.keeps_place(error):
                keeper.keep_place(claim)
                if isinstance(error, NoAppIdAvailable):
                    error.ticket = plan.place.ticket
            keeper.give_up(claim)
            if isinstance(error, NoAppIdAvailable):
                keeper.emit(EventKind.EXHAUSTED, claim, plan.waited)
            raise

    def _try(self, claim: Claim) -> Generator[Call | Pause, Any, Grant | Wait]:
        """Ask once for `claim`, and be held over the turn if it is time for that."""
        plan = self._plan
        asking = plan.begin_try()
        if not asking.wait:
            outcome: Grant | Wait = yield self._call(partial(self._ask, claim, asking))
            return outcome
        if not HOLDING_ROOM.enter():
            yield from self._pause(plan.has_no_room())
            late = replace(asking, wait=0.0)
            outcome = yield self._call(partial(self._ask, claim, late))
            return outcome
        try:
            work = partial(self._ask, claim, asking)
            outcome = yield Call(work, plan.patience, plan.out_of_time, _say_nothing, held=True)
            return outcome
        finally:
            HOLDING_ROOM.leave()

    def _ask(self, claim: Claim, asking: Asking) -> Grant | Wait:
        """Ask for `claim`; by force where that is wanted and nothing is free.

        A forced acquire of a field service passes over AppIDs that were never used (wire
        contract, "Base"): there it is asked plainly first. Ours takes what is free first.
        """
        if not self._plan.options.force:
            return self._keeper.ask(claim, asking=asking)
        if not self._api.extended:
            outcome = self._keeper.ask(claim)
            if isinstance(outcome, Grant):
                return outcome
        return self._keeper.ask(claim, force=True, asking=asking)

    def _wait_for_fresh_hour(self) -> Generator[Call | Pause, Any, None]:
        """Wait for `not_before`, and for an hour of which `min_remaining` is left."""
        plan = self._plan
        while plan.needs_hours:
            try:
                yield self._call(partial(self._api.learn_hours, self._product_name))
            except TransportError as error:
                plan.begin_try()
                yield from self._pause(plan.after_error(error))
                continue
            seconds = plan.until_fresh_hour(
                self._api.clock.hour_end(), has_line=bool(self._api.has_line)
            )
            if seconds is None:
                return
            yield from self._pause(seconds)

    def _check_product(self) -> Generator[Call | Pause, Any, None]:
        """Make an unknown product fail: a field service answers it with a 202, as if in use.

        Asked after the first 202, and again while the service's hours are unknown.
        """
        if self._api.extended or (self._checked and self._api.clock.hour_known):
            return
        check = partial(self._api.check_product_after_wait, self._product_name)
        if (yield self._call(check)):
            self._checked = True

    def _call(self, work: Callable[[], Any]) -> Call:
        plan = self._plan

        def slow() -> None:
            reason = f"{self._api.base_url} has not answered yet"
            self._emit_waiting(None, reason, None)
            self._log.no_end(plan.waited, reason, plan.patience)

        return Call(work, plan.patience, plan.out_of_time, slow)

    def _pause(self, seconds: float) -> Generator[Pause, Any, None]:
        plan, api = self._plan, self._api
        until = plan.available_at
        left = seconds if until is None else max(seconds, api.clock.seconds_until(until))
        self._emit_waiting(left, plan.reason, until)
        if until is None:
            self._log.next_try(plan.waited, left, plan.reason)
        else:
            self._log.until(plan.waited, left, plan.reason, until)
        product = self._product_name
        with span(
            "wait", service=api.base_url, product=product, reason=plan.reason, seconds=seconds
        ):
            yield Pause(seconds)

    def _emit_waiting(self, seconds: float | None, reason: str, until: float | None) -> None:
        service, product = self._api.base_url, self._product_name
        waiting = Event(EventKind.WAITING, service, product, None, seconds, reason, until)
        emit(self._on_event, waiting)
