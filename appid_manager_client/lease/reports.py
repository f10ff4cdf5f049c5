"""What the log, the event hook, tracing, and the lease or pool are told of a claim.

Decides nothing.
"""

from __future__ import annotations

from .. import events
from ..events import Event, EventHook, EventKind
from ..runtime.time import SystemTime
from ..text import get_logger
from .claim import Claim, Outcome

logger = get_logger()

_UNKNOWN = "of an unanswered acquire"


class Reports:
    """The reports about one client's claims."""

    def __init__(self, service: str, on_event: EventHook | None, system: SystemTime) -> None:
        self._service = service
        self._on_event = on_event
        self._system = system

    def emit(self, kind: EventKind, claim: Claim, seconds: float | None = None) -> None:
        """Tell the event hook, and the log of a grant."""
        if kind is EventKind.ACQUIRED:
            logger.debug(
                "acquired AppID %s (product %s) after %.3f s",
                claim.appid,
                claim.product_name,
                seconds or 0.0,
            )
        if self._on_event is not None:
            event = Event(kind, self._service, claim.product_name, claim.appid, seconds)
            events.emit(self._on_event, event)

    def release(self, claim: Claim, outcome: Outcome, error: Exception | None) -> None:
        """A release was tried. The first failure is a warning, further ones are details."""
        appid, product = claim.appid or _UNKNOWN, claim.product_name
        if outcome is Outcome.RELEASED:
            logger.debug("released AppID %s (product %s)", appid, product)
            claim.end_trace()
            self.emit(EventKind.RELEASED, claim, self._held(claim) if claim.grant else None)
        elif outcome is Outcome.NOTHING:
            logger.warning("the answer to an acquire of %s was lost: %s", product, error)
            claim.end_trace()
        elif claim.attempts == 1:
            logger.warning(
                "release of AppID %s (product %s) failed; retrying in the background: %s",
                appid,
                product,
                error,
            )
            self.emit(EventKind.DEFERRED, claim)
        else:
            logger.debug("release of AppID %s (product %s) failed again: %s", appid, product, error)

    def lost(self, claim: Claim, reason: str) -> None:
        """A claim ended before it was given back: its lease or pool is told, too."""
        logger.warning("lost AppID %s (product %s): %s", claim.appid, claim.product_name, reason)
        claim.end_trace(lost=reason)
        self.emit(EventKind.LOST, claim, self._held(claim))
        on_lost = claim.on_lost() if claim.on_lost is not None else None
        if on_lost is not None:
            on_lost(claim, reason)

    def left(self, claim: Claim) -> None:
        """The process ends, or the client was closed, and the release of a claim is still owed."""
        what = "the AppID stays" if claim.appid else "what the acquire got, if anything, stays"
        where = "in the journal" if claim.record is not None else "in use at the service"
        logger.error(
            "AppID %s (product %s) could not be given back before the end; %s %s (%s)",
            claim.appid or _UNKNOWN,
            claim.product_name,
            what,
            where,
            claim.last_error,
        )
        claim.end_trace()
        self.emit(EventKind.LEFT, claim)

    def _held(self, claim: Claim) -> float:
        return self._system.monotonic() - claim.granted_at
