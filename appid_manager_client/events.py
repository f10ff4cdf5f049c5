"""What happens to leases, for people who want metrics: one event type, one hook.

A hook is called on the thread where the thing happened, with no lock held. What it raises is logged and has no
effect on the lease.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

logger = logging.getLogger("appid_manager_client")


class EventKind(str, Enum):
    """What happened."""

    WAITING = "waiting"
    """An acquire pauses before its next try. `seconds`: until an AppID can be free, or until the next try where that
    isn't known; `reason` and `available_at` say more."""
    ACQUIRED = "acquired"
    """An AppID was granted. `seconds`: how long the holder waited for it."""
    EXHAUSTED = "exhausted"
    """The wait for an AppID ended without one. `seconds`: how long it took."""
    RELEASED = "released"
    """The service confirmed that an AppID was given back. `seconds`: how long it was held."""
    DEFERRED = "deferred"
    """A release could not be delivered; it is retried in the background."""
    LOST = "lost"
    """An AppID was no longer ours before it was given back. `seconds`: how long it was held."""
    LEFT = "left"
    """The process ends, or the client was closed, and a release is still owed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `appid` is `None` where none is known, `seconds` where no duration belongs to the kind.

    The last two belong to `WAITING`: why it waits, and the earliest moment at which an AppID can be free, in seconds
    since the Unix epoch on the service's clock (`None`: unknown).
    """

    kind: EventKind
    service: str
    product_name: str
    appid: str | None = None
    seconds: float | None = None
    reason: str | None = None
    available_at: float | None = None


class EventHook(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event, /) -> object:
        """Take note of `event`, quickly: the lease waits for it."""


def emit(hook: EventHook | None, event: Event) -> None:
    """Call `hook`; what it raises goes to the log and no further."""
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        logger.exception("the event hook failed on %s of %s", event.kind.value, event.product_name)
