"""One claim on an AppID: from before the acquire is sent until the service confirmed its end.

Data only. Every change of a claim's state is made in `ledger.py`.
"""

from __future__ import annotations

import math
import os
import uuid
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from ..runtime import tracing
from ..wire.models import Grant


class ClaimState(Enum):
    """Where a claim stands."""

    OPEN = auto()
    """Nothing was granted, as far as is known, and no acquire is on the wire."""
    SENDING = auto()
    """An acquire is on the wire."""
    HELD = auto()
    """Granted, and held by a lease."""
    RELEASING = auto()
    """A release is on the wire."""
    OWED = auto()
    """To be released by the keeper, in the background."""
    ENDED = auto()
    """Nothing is left to do."""


class Outcome(Enum):
    """How the release of a claim went."""

    RELEASED = auto()
    NOT_HELD = auto()
    """The service says that it is not ours, and no earlier try of ours can have released it.

    It was lost before, or released by somebody else, or the acquire had got nothing.
    """
    DEFERRED = auto()
    """Not delivered; the keeper goes on trying."""
    NOTHING = auto()
    """There was nothing to do, or there is no point in another try.

    The claim has ended, another thread releases it, or it belongs to the parent process. Or an
    acquire without an answer can't be given up, because what answers is no AppID service, or
    refuses the token.
    """


class Record(Protocol):
    """What the journal keeps of a claim, for others to find if this process dies."""

    def granted(
        self, *, appid: str, vid: str | int, start_time: int, lease_id: str | None
    ) -> object:
        """Write down what was granted."""

    def close(self) -> None:
        """Remove the record: nothing is owed to the service any more."""

    def leave(self) -> None:
        """Keep the record for other processes: this one can't deliver the release."""


LossHandler = Callable[["Claim", str], None]
"""Called with a claim that ended before it was given back, and the reason."""


@dataclass(eq=False, slots=True)
class Claim:
    """See the module. Times are seconds on the monotonic clock."""

    product_name: str
    ttl: float | None = None
    holder: str | None = None
    record: Record | None = None
    on_lost: weakref.WeakMethod[LossHandler] | None = None
    """The method of its lease or pool to call with the reason, if it is lost."""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    pid: int = field(default_factory=os.getpid)
    state: ClaimState = ClaimState.OPEN
    abandoned: bool = False
    """Nobody waits for the acquire that is on the wire: what it gets is given back."""
    unanswered: list[tuple[float, float]] = field(default_factory=list)
    """For each acquire whose answer never came: when it was sent, and when it broke off."""
    in_line: bool = False
    """The request has a place in line at the service, which it leaves if nobody waits any more."""
    grant: Grant | None = None
    granted_at: float = 0.0
    heard_at: float = 0.0
    """When the last request was *sent* to which the service answered that the lease lives."""
    beat_at: float = math.inf
    """When its next heartbeat is due, while it is held; infinite if it needs none."""
    attempts: int = 0
    """How many releases were tried without an answer."""
    next_try: float = 0.0
    owed_since: float = 0.0
    last_error: str = ""
    trace: tracing.OpenSpan | None = None
    """The span of its lease, where one is traced."""

    @property
    def appid(self) -> str | None:
        """The AppID, if one was granted."""
        return None if self.grant is None else self.grant.appid

    def span(self, name: str, service: str) -> AbstractContextManager[object]:
        """A span around a block that does something with this claim."""
        return tracing.span(
            name,
            parent=self.trace,
            service=service,
            product=self.product_name,
            appid=self.appid,
        )

    def trace_lease(self, service: str) -> None:
        """Begin the span of its lease, a child of what is current in the caller."""
        if self.state is ClaimState.HELD:
            self.trace = tracing.open_span(
                "lease", service=service, product=self.product_name, appid=self.appid
            )

    def end_trace(self, lost: str | None = None) -> None:
        """End the span of its lease, if there is one."""
        if self.trace is not None:
            self.trace.end(**({} if lost is None else {"lost": lost}))

    @property
    def beating(self) -> bool:
        """Whether heartbeats keep this claim alive."""
        return self.ttl is not None and self.grant is not None and self.grant.lease_id is not None

    @property
    def overdue_at(self) -> float:
        """When a whole `ttl` will have passed without a confirmed heartbeat."""
        return self.heard_at + (self.ttl or 0.0)


@dataclass(frozen=True, slots=True)
class PendingRelease:
    """A release that is owed to the service, and retried in the background.

    Attributes:
        product_name, appid: what it is; `appid` is `None` for an acquire without an answer.
        seconds: for how long it has been owed.
        attempts: how often it was tried.
        last_error: why the last try failed.
    """

    __module__ = "appid_manager_client"

    product_name: str
    appid: str | None
    seconds: float
    attempts: int
    last_error: str
