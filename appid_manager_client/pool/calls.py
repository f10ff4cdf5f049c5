"""The calls that a pool makes, on threads of its executor: what each is made of, and how it went. No decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from ..errors import AppIdManagerError, TransportError
from ..events import EventKind
from ..lease.claim import Claim, Owner
from ..lease.keeper import LeaseKeeper
from ..wire.models import Grant, Wait
from .demand import Standing
from .model import PoolOptions

logger = logging.getLogger("appid_manager_client")


@dataclass(slots=True)
class Asked:
    """How an acquire went: `hour_end` where it brought a grant, `refusal` for a 202, neither where it wasn't sent."""

    claim: Claim | None
    sent: float
    hour_end: float | None = None
    refusal: Wait | None = None
    error: Exception | None = None


class PoolCalls:
    """The calls of one pool, through its client's keeper."""

    def __init__(self, keeper: LeaseKeeper, product_name: str, options: PoolOptions) -> None:
        self._keeper = keeper
        self._product_name = product_name
        self._options = options

    def ask(self, parked: Claim | None, may_ask: Callable[[float], bool], owner: Owner) -> Asked:
        """Send one acquire: again for `parked`, whose answer was lost, or for a new claim."""
        monotonic = self._keeper.system.monotonic
        asked = Asked(parked, monotonic())
        if not may_ask(asked.sent):
            return asked
        try:
            if asked.claim is None:
                asked.claim = self._keeper.open(
                    self._product_name,
                    ttl=self._options.ttl,
                    holder=self._options.holder,
                    owner=owner,
                )
            asked.sent = monotonic()
            outcome = self._keeper.ask(asked.claim)
            if isinstance(outcome, Grant):
                asked.hour_end = self._keeper.api.hour_end_of(outcome) or 0.0
                self._keeper.emit(EventKind.ACQUIRED, asked.claim, monotonic() - asked.sent)
            else:
                self._keeper.emit(EventKind.EXHAUSTED, asked.claim, monotonic() - asked.sent)
                self._tell_unknown_from_exhausted()
                asked.refusal = outcome
        except Exception as error:
            asked.error = error
        return asked

    def learn_hours(self) -> None:
        """Ask for the service's time and hours."""
        api = self._keeper.api
        api.learn_hours(self._product_name)
        if api.clock.hour_end() is None:
            # A service in the field tells its hours with each AppID of a product: this one has none.
            api.check_product(self._product_name)

    def look_at_the_clock(self) -> None:
        """Ask for the service's time alone."""
        self._keeper.api.health()

    def report(self, error: Exception | None, before: Standing, after: Standing) -> None:
        """Log what a call has changed: the first failure in a row, the end of failures, the last AppID of an hour."""
        name = self._product_name
        if error is not None:
            if not isinstance(error, AppIdManagerError):
                logger.error("the pool of %s failed", name, exc_info=error)
            elif after.failures <= 1:
                logger.warning("the pool of %s can't get an AppID: %s", name, error)
            else:
                logger.debug("the pool of %s still can't get an AppID: %s", name, error)
        elif before.failures and not after.failures:
            logger.info(
                "the pool of %s has an answer again, after %d errors", name, before.failures
            )
        until = after.exhausted_until
        if until is not None and until != before.exhausted_until:
            moment = datetime.fromtimestamp(until, timezone.utc)
            logger.info("the pool of %s can get no more before %s UTC", name, f"{moment:%H:%M:%S}")

    def _tell_unknown_from_exhausted(self) -> None:
        """A service in the field answers 202 for ever for a product that it doesn't know."""
        if self._keeper.api.extended:
            return
        try:
            self._keeper.api.check_product(self._product_name)
        except TransportError:
            pass  # the plan goes by what the 202 said


def as_error(failure: BaseException) -> Exception:
    """Whatever ended a call, as an error that can be told to those who wait."""
    return failure if isinstance(failure, Exception) else RuntimeError(repr(failure))
