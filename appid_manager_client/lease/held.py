"""What every lease has in common: the public type `Lease`, its states, and what it tells.

How an AppID is got and given back is for the kinds of lease: `lease/lease.py` has those of a
client, `pool/lease.py` those of a pool.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from enum import Enum
from types import TracebackType
from typing import Self

from ..errors import LeaseInUse, LeaseLost, LeaseNotHeld
from ..text import printable
from ..wire.clock import ServerClock
from ..wire.models import Grant
from .claim import Claim


class LeaseState(Enum):
    """Where a lease stands."""

    NEW = "new"
    ACQUIRING = "acquiring"
    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    LOST = "lost"


class Lease(ABC):
    """An AppID of one product, for the time of a `with` or `async with` block.

    `AppIdClient.lease()` and `LeasePool.lease()` make them, and `uses_appid` hands them to the
    functions that it decorates. The block starts with an AppID or not at all. Its end gives the
    AppID back exactly once, on return and on every exception, and never masks the body's own
    exception. `acquire()` and `release()` do the same by hand. A lease can be used again after
    it was given back.

        with client.lease("stt_billing") as lease:
            transcribe(lease.appid, lease.vid)
    """

    __module__ = "appid_manager_client"
    __slots__ = ()

    # --- what the kinds of lease supply

    @property
    @abstractmethod
    def product_name(self) -> str:
        """The product."""

    @property
    @abstractmethod
    def hour_end(self) -> float | None:
        """When the hour of the grant ends: seconds since the Unix epoch on the service's clock.

        `None` where the service does not tell its hours.

        Raises:
            LeaseNotHeld: the lease was never acquired.
            TransportError: the hours of a service without the extensions could not be asked for.
        """

    @property
    @abstractmethod
    def lost(self) -> bool:
        """Whether the AppID ended before it was given back.

        It is lost when the service says so, or when no heartbeat got through for a whole `ttl`.
        """

    @property
    @abstractmethod
    def held(self) -> bool:
        """Whether this process may use the AppID now, as far as is known."""

    @abstractmethod
    def acquire(self) -> Self:
        """Get an AppID, waiting as the lease's options say. Returns self.

        Raises:
            NoAppIdInTime: the wait is over.
            LeaseInUse: it holds, or waits for, an AppID already.
            Closed: the client or the pool was closed.
            ValueError: the service's hours are not longer than `min_remaining`.
            ProductNotFound, AuthenticationError, TransportError, ProtocolError: waiting would not
                help.
        """

    @abstractmethod
    async def acquire_async(self) -> Self:
        """`acquire()` for coroutines: the wait holds no thread."""

    @abstractmethod
    def release(self) -> bool:
        """Give the AppID back. Only the first call does anything."""

    @abstractmethod
    async def release_async(self) -> bool:
        """`release()` for coroutines."""

    @abstractmethod
    def renew(self, *, within: float | None = None, timeout: float | None = None) -> bool:
        """Give this AppID back and take a fresh one, of the next hour: for long jobs."""

    @abstractmethod
    async def renew_async(
        self, *, within: float | None = None, timeout: float | None = None
    ) -> bool:
        """`renew()` for coroutines."""

    @property
    @abstractmethod
    def _lease_state(self) -> LeaseState: ...

    @property
    @abstractmethod
    def _held_claim(self) -> Claim | None:
        """The latest claim, also after it ended; `None` before the first grant."""

    @property
    @abstractmethod
    def _known_hour_end(self) -> float | None:
        """`hour_end`, as far as it is known without asking the service."""

    @property
    @abstractmethod
    def _service(self) -> tuple[str, ServerClock]:
        """The base URL of the service, and its clock."""

    @abstractmethod
    def _why_not_held(self) -> str:
        """Why a lease that once held an AppID of this process holds it no more."""

    # --- what they tell

    @property
    def appid(self) -> str:
        """The AppID. Known after the release, too, for logs.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        return self._grant.appid

    @property
    def vid(self) -> str | int:
        """The AppID's vid, as the service gave it.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        return self._grant.vid

    @property
    def start_time(self) -> int:
        """When it was granted: milliseconds since the Unix epoch on the service's clock.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        return self._grant.start_time

    @property
    def lease_id(self) -> str | None:
        """The service's id of the grant; `None` from a field service, which gives no ids.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        return self._grant.lease_id

    @property
    def fence(self) -> int | None:
        """A number that grows with every grant of this AppID, whoever gets it.

        Send it along with what is written somewhere else: a store that remembers the largest fence
        refuses a holder that was paused for longer than its `ttl` (docs/fencing.md). Leases of a
        pool that use one grant in turn have the same fence. `None` from a field service.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        return self._grant.fence

    @property
    def holder(self) -> str | None:
        """Who holds it, as the service was told, for people; `None` if nobody was named.

        A field service doesn't keep it.

        Raises:
            LeaseNotHeld: the lease was never acquired.
        """
        self._grant  # raises for a lease that was never acquired, as the other facts of a grant do
        claim = self._held_claim
        return None if claim is None else claim.holder

    @property
    def remaining(self) -> float:
        """Seconds that are certainly left of its hour on the service's clock; 0 after the hour.

        An AppID that is given back later than that is burned for the next hour, too. It is also 0
        where the service does not tell its hours.

        Raises:
            LeaseNotHeld: the lease was never acquired.
            TransportError: the hours of a service without the extensions could not be asked for.
        """
        hour_end = self.hour_end
        if hour_end is None:
            return 0.0
        _, clock = self._service
        return max(0.0, clock.seconds_before(hour_end))

    @property
    def released(self) -> bool:
        """Whether it was given back, or its release goes on in the background.

        Also true after an `acquire()` that failed: the lease holds nothing, and can be used again.
        """
        return self._lease_state in (LeaseState.RELEASING, LeaseState.RELEASED)

    def as_dict(self) -> dict[str, str | int | None]:
        """Return what is known of it, ready for JSON: for logs, and for the answer of a web view.

            {"product_name": "stt_billing", "appid": "appid1", "vid": "vid1",
             "start_time": 1767225600000, "hour_end_ms": 1767229200000,
             "lease_id": "...", "fence": 1767225600000, "holder": "...", "state": "held"}

        Both times are milliseconds since the Unix epoch on the service's clock, as `start_time` is
        everywhere. What isn't known is `None`; nothing is sent to find it out. `state` is one of
        `new`, `acquiring`, `held`, `releasing`, `released` and `lost`.
        """
        lost = self.lost  # looks whether it is overdue: before the state is read
        claim = self._held_claim
        grant = None if claim is None else claim.grant
        hour_end = None if grant is None else self._known_hour_end
        return {
            "product_name": self.product_name,
            "appid": None if grant is None else grant.appid,
            "vid": None if grant is None else grant.vid,
            "start_time": None if grant is None else grant.start_time,
            "hour_end_ms": None if hour_end is None else round(hour_end * 1000),
            "lease_id": None if grant is None else grant.lease_id,
            "fence": None if grant is None else grant.fence,
            "holder": None if claim is None else claim.holder,
            "state": (LeaseState.LOST if lost else self._lease_state).value,
        }

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(
            "a lease can't be pickled or copied: it belongs to the process that acquired it; "
            "lease an AppID in the other process, or pass lease.as_dict()"
        )

    def check(self) -> None:
        """Make sure that the AppID may still be used, without asking the service.

        Cheap enough for every step of a job.

        Raises:
            LeaseLost: it may not; stop using it.
            LeaseNotHeld: the lease was never acquired.
        """
        if self.held:
            return
        grant = self._grant
        claim = self._held_claim
        if claim is not None and claim.pid != os.getpid():
            why = "it belongs to the parent process"
        else:
            why = self._why_not_held()
        service, _ = self._service
        raise LeaseLost(
            f"{grant.appid} of {self.product_name} is not held any more: {why}",
            service=service,
            product_name=self.product_name,
            appid=grant.appid,
        )

    def __repr__(self) -> str:
        claim = self._held_claim
        appid = f" {printable(claim.appid)}" if claim is not None and claim.appid else ""
        state = self._lease_state.value
        return f"<{type(self).__name__} of {self.product_name!r}{appid} {state}>"

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        return await self.acquire_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release_async()

    @property
    def _grant(self) -> Grant:
        claim = self._held_claim
        if claim is None or claim.grant is None:
            raise self._not_held()
        return claim.grant

    def _not_held(self) -> LeaseNotHeld:
        return LeaseNotHeld(
            f"this lease of {self.product_name} holds no AppID: "
            "enter it with 'with', or call acquire()"
        )

    def _warn_forgotten(self, appid: str | None) -> None:
        warnings.warn(
            printable(
                f"a lease of {self.product_name} was garbage-collected while it held {appid}; "
                "the AppID is being given back"
            ),
            ResourceWarning,
            source=self,
            stacklevel=3,
        )


def lease_in_use(product_name: str, state: LeaseState) -> LeaseInUse:
    """The error for a lease that is acquired while it holds, or waits for, an AppID."""
    return LeaseInUse(
        f"this lease of {product_name} is {state.value} already: make one lease for each block"
    )
