"""Events of leases, for metrics and logs: one event type and one hook.

The hook is called on the thread where the event happened, with no lock held. An exception of the
hook is logged and has no effect on the lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .text import get_logger

logger = get_logger()


class EventKind(str, Enum):
    """What happened.

    A pool hands one AppID to many callers. `ACQUIRED`, `RELEASED` and the other kinds say what
    happens to the AppIDs that it holds, not who has them; `EXHAUSTED` says what happens to one of
    its callers. `LeasePool.get_stats()` counts checkouts and the time that callers wait.
    """

    WAITING = "waiting"
    """An acquire pauses before its next try. `seconds`: until an AppID can be free, or, where that
    is not known, until the next try; `None` while a call has no answer for long. `reason` and
    `available_at` say more."""
    ACQUIRED = "acquired"
    """An AppID was granted. `seconds`: how long the holder waited for it; in a pool, how long the
    call to the service took."""
    EXHAUSTED = "exhausted"
    """A wait for an AppID ended without one: a `NoAppIdAvailable` or `PoolTimeout` is raised.
    `seconds`: how long the wait was."""
    RELEASED = "released"
    """The service confirmed a release. `seconds`: how long the AppID was held."""
    DEFERRED = "deferred"
    """A release failed; it is retried in the background."""
    LOST = "lost"
    """A lease ended before its holder released it. `seconds`: how long the AppID was held."""
    LEFT = "left"
    """The process ends, or the client was closed, before a release could be delivered."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        kind: what happened.
        service: the base URL of the service.
        product_name: the product.
        appid: the AppID, or `None` where none is known.
        seconds: the duration that belongs to the kind of event, or `None` where none does.
        reason: why a `WAITING` acquire waits; `None` for other kinds.
        available_at: the earliest time at which an AppID can be free, for `WAITING`, in seconds
            since the Unix epoch on the service's clock; `None` where it is not known.
    """

    kind: EventKind
    service: str
    product_name: str
    appid: str | None = None
    seconds: float | None = None
    reason: str | None = None
    available_at: float | None = None


class EventHook(Protocol):
    """Something that can be called with an event."""

    def __call__(self, event: Event, /) -> object:
        """Handle `event` quickly: the lease waits for the hook."""


def emit(hook: EventHook | None, event: Event) -> None:
    """Call `hook`, and log an exception that it raises."""
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        logger.exception("the event hook failed on %s of %s", event.kind.value, event.product_name)
