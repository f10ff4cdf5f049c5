"""The calls that a pool sends: what each consists of, and how its outcome reaches plan and log.

They run on threads of the pool's executor. Which calls are sent, and when, is decided in `plan.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar

from ..errors import AppIdManagerError
from ..events import EventKind
from ..lease.claim import Claim, LossHandler, Outcome
from ..lease.keeper import LeaseKeeper
from ..lease.place import HOLDING_ROOM
from ..runtime.executor import Executor
from ..text import get_logger
from ..wire.models import LOOK, Asking, Grant
from .decision import Decision
from .demand import DemandState
from .model import AcquireResult, PoolOptions, Slot
from .places import Wish
from .plan import PoolPlan

T = TypeVar("T")

logger = get_logger()


class PoolCalls:
    """The calls of one pool, through its client's keeper.

    Args:
        executor: the threads that calls are sent from.
        holders: those of calls that the service holds, which no other call waits for.
        plan: learns how each call went.
        on_lost: called when an AppID of the pool is lost.
        done: called after the end of each call, without a lock.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        executor: Executor,
        holders: Executor,
        plan: PoolPlan,
        options: PoolOptions,
        on_lost: LossHandler,
        done: Callable[[], None],
    ) -> None:
        self._keeper = keeper
        self._executor = executor
        self._holders = holders
        self._plan = plan
        self._options = options
        self._on_lost = on_lost
        self._done = done
        self._monotonic = keeper.system.monotonic

    def start(self, decision: Decision) -> None:
        """Start the calls of a decision."""
        for slot in decision.release:
            release = partial(self._keeper.try_release, slot.claim)
            self._start(release, partial(self._after_release, slot))
        for claim in decision.give_up:
            self._keeper.give_up(claim)
        for unanswered in decision.acquire:
            acquire = partial(self._acquire, unanswered)
            self._start(acquire, partial(self._after_acquire, unanswered, None))
        for wish in decision.stand:
            executor = self._holders if wish.held else self._executor
            stand = partial(self._stand, wish)
            self._start(stand, partial(self._after_acquire, wish.claim, wish), executor)
        if decision.learn_hours:
            self._start(self._learn_hours, self._after_time)
        if decision.read_clock:
            self._start(self._keeper.api.health, self._after_time)

    def _start(
        self,
        call: Callable[[], T],
        after: Callable[[Future[T]], None],
        executor: Executor | None = None,
    ) -> None:
        def finish(future: Future[T]) -> None:
            after(future)
            self._done()

        try:
            future = (executor or self._executor).submit(call)
        except Exception as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(finish)

    # --- the calls, on threads of the pool's executor

    def _acquire(self, unanswered: Claim | None) -> AcquireResult:
        """Send one acquire: the one of `unanswered` again, or a new one."""
        result = AcquireResult(unanswered, self._monotonic())
        with self._plan.lock:
            if not self._plan.may_acquire(result.sent):
                return result
        self._ask(result, LOOK)
        return result

    def _stand(self, wish: Wish) -> AcquireResult:
        """Ask for a place in line, be held over the turn, or look."""
        result = AcquireResult(wish.claim, self._monotonic(), wish)
        with self._plan.lock:
            if wish.dropped or (wish.looks and not self._plan.may_acquire(result.sent)):
                return result
        if not wish.held:
            self._ask(result, wish.asking)
        elif HOLDING_ROOM.enter():
            try:
                self._ask(result, wish.asking)
            finally:
                HOLDING_ROOM.leave()
        return result

    def _ask(self, result: AcquireResult, asking: Asking) -> None:
        """Send one acquire, and note what came of it."""
        try:
            claim = result.claim
            if claim is None:
                claim = result.claim = self._open(result.wish)
            result.sent = self._monotonic()
            with claim.span("acquire", self._keeper.api.base_url):
                outcome = self._keeper.ask(claim, asking=asking)
            if isinstance(outcome, Grant):
                claim.trace_lease(self._keeper.api.base_url)
                result.hour_end = self._keeper.api.hour_end_of(outcome) or 0.0
                self._keeper.emit(EventKind.ACQUIRED, claim, self._monotonic() - result.sent)
            else:
                # No event: callers who wait may still get what others give back.
                self._keeper.api.check_product_after_wait(self._plan.product_name)
                result.wait = outcome
        except Exception as error:
            result.error = error
        result.has_line = self._keeper.api.has_line

    def _open(self, wish: Wish | None) -> Claim:
        claim = self._keeper.open(
            self._plan.product_name,
            ttl=self._options.ttl,
            holder=self._options.holder,
            on_lost=self._on_lost,
        )
        if wish is not None:
            with self._plan.lock:
                wish.claim = claim
                dropped = wish.dropped
            if dropped:
                self._keeper.give_up(claim)
        return claim

    def _learn_hours(self) -> None:
        """Ask for the service's time and hours."""
        api = self._keeper.api
        api.learn_hours(self._plan.product_name)
        if api.clock.hour_end() is None:
            # A field service tells its hours with each AppID of a product; this one has none.
            api.check_product(self._plan.product_name)

    # --- their outcomes

    def _after_release(self, slot: Slot, future: Future[Outcome]) -> None:
        with self._plan.lock:
            self._plan.slots.released(slot)

    def _after_acquire(
        self, unanswered: Claim | None, wish: Wish | None, future: Future[AcquireResult]
    ) -> None:
        failure = future.exception()
        if failure is None:
            result = future.result()
        else:
            result = AcquireResult(unanswered, 0.0, wish, error=_as_error(failure))
        plan, now = self._plan, self._monotonic()
        with plan.lock:
            before = plan.demand.state
            plan.acquire_ended(result, now)
            after = plan.demand.state
        self._log(result.error, before, after)

    def _after_time(self, future: Future[Any]) -> None:
        failure = future.exception()
        error = None if failure is None else _as_error(failure)
        plan = self._plan
        with plan.lock:
            before = plan.demand.state
            plan.time_call_ended(error, self._monotonic())
            after = plan.demand.state
        self._log(error, before, after)

    def _log(self, error: Exception | None, before: DemandState, after: DemandState) -> None:
        """Log what a call has changed.

        That is the first of several failures, the first success after them, and the last AppID
        of an hour.
        """
        name = self._plan.product_name
        if error is not None:
            if not isinstance(error, AppIdManagerError):
                logger.error("the pool of %s failed", name, exc_info=error)
            elif after.failures <= 1:
                logger.warning("the pool of %s can't get an AppID: %s", name, error)
            else:
                logger.debug("the pool of %s still can't get an AppID: %s", name, error)
        elif before.failures and not after.failures:
            logger.info(
                "the service answers the pool of %s again, after %d errors", name, before.failures
            )
        until = after.exhausted_until
        if until is not None and until != before.exhausted_until:
            at = f"{datetime.fromtimestamp(until, timezone.utc):%H:%M:%S}"
            logger.info("the pool of %s can't get another AppID before %s UTC", name, at)


def _as_error(failure: BaseException) -> Exception:
    """Whatever ended a call, as an error that can be raised to those who wait."""
    return failure if isinstance(failure, Exception) else RuntimeError(repr(failure))
