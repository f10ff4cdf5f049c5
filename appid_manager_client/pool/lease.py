"""What a caller of a pool holds: an AppID for the time of a block, and to its user much like a `Lease`.

Holds no rules: the pool lends it a slot and takes it back. `__del__` takes no lock.
"""

from __future__ import annotations

import os
import warnings
from types import TracebackType
from typing import Protocol

from ..checks import check_seconds
from ..errors import LeaseInUse, LeaseLost, LeaseNotHeld
from ..lease.held import LeaseState
from ..lease.keeper import LeaseKeeper
from ..wire.models import Grant
from .model import Slot

_NEW, _HELD, _LOST = LeaseState.NEW, LeaseState.HELD, LeaseState.LOST
_GIVEN_BACK = (LeaseState.RELEASED, LeaseState.RELEASING)


class Lender(Protocol):
    """What a pooled lease needs of its pool."""

    product_name: str
    _keeper: LeaseKeeper

    def _lend(self, lease: PooledLease, /) -> None: ...

    async def _lend_async(self, lease: PooledLease, /) -> None: ...

    def _renew(self, lease: PooledLease, timeout: float | None, /) -> None: ...

    async def _renew_async(self, lease: PooledLease, timeout: float | None, /) -> None: ...

    def _take_back(self, lease: PooledLease, failed: bool, /) -> bool: ...

    def _take_back_forgotten(self, slot: Slot, /) -> None: ...


class PooledLease:
    """An AppID of a pool, for the time of a `with` or `async with` block. Made by `LeasePool.lease()`.

    The block starts with an AppID or not at all, and nobody else has it meanwhile. Its end hands the AppID to the
    next caller, or back to the service when its hour is nearly over, when it was lost, or when the body raised.
    `acquire()` and `release()` do the same by hand. It can be used again once it was given back.
    """

    __slots__ = (
        "_pool",
        "_timeout",
        "_min_remaining",
        "_state",
        "_slot",
        "_later_than",
        "__weakref__",
    )

    def __init__(self, pool: Lender, timeout: float | None, min_remaining: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._min_remaining = min_remaining
        # Guarded by the pool's lock:
        self._state = _NEW
        self._slot: Slot | None = None
        self._later_than = 0.0
        """While it is being renewed: when the hour ends of which nothing is wanted any more."""

    # --- what it is

    @property
    def product_name(self) -> str:
        """The product."""
        return self._pool.product_name

    @property
    def appid(self) -> str:
        """The AppID. Still told after the release, for logs."""
        return self._grant.appid

    @property
    def vid(self) -> str | int:
        """The AppID's vid, as the service gave it."""
        return self._grant.vid

    @property
    def start_time(self) -> int:
        """When the pool got it: milliseconds since the Unix epoch on the service's clock."""
        return self._grant.start_time

    @property
    def hour_end(self) -> float:
        """When its hour ends: seconds since the Unix epoch on the service's clock."""
        return self._held_slot.hour_end

    @property
    def remaining(self) -> float:
        """Seconds that are certainly left of its hour on the service's clock; 0 once it has turned.

        An AppID that is still checked out then is burned for the next hour, too.
        """
        clock = self._pool._keeper.api.clock
        return max(0.0, clock.seconds_before(self._held_slot.hour_end))

    @property
    def released(self) -> bool:
        """Whether it was given back to the pool."""
        return self._state in _GIVEN_BACK

    @property
    def lost(self) -> bool:
        """Whether the AppID ended before it was given back: on the service's word, or a whole `ttl` went by unheard."""
        slot = self._slot
        if self._state is _HELD and slot is not None:
            self._pool._keeper.overdue(slot.claim)
            return bool(slot.loss)
        return self._state is _LOST

    @property
    def held(self) -> bool:
        """Whether the AppID is this process's to use now, as far as is known."""
        slot = self._slot
        if self._state is not _HELD or slot is None or slot.claim.pid != os.getpid():
            return False
        return not self.lost

    def check(self) -> None:
        """Make sure that the AppID is still ours, without asking the service: cheap enough for every step of a job.

        Raises:
            LeaseLost: it isn't; stop using it.
        """
        if self.held:
            return
        slot = self._held_slot
        if slot.claim.pid != os.getpid():
            why = "it belongs to the parent process"
        else:
            why = slot.loss if self._state in (_HELD, _LOST) else "it was given back"
        raise LeaseLost(
            f"{self.appid} of {self.product_name} is not held any more: {why}",
            service=self._pool._keeper.api.base_url,
            product_name=self.product_name,
            appid=self.appid,
        )

    def __repr__(self) -> str:
        appid = f" {self._slot.claim.appid}" if self._slot is not None else ""
        return f"<PooledLease of {self.product_name!r}{appid} {self._state.value}>"

    @property
    def _held_slot(self) -> Slot:
        if self._slot is None:
            raise LeaseNotHeld(
                f"this lease of {self.product_name} holds no AppID: enter it with 'with', or call acquire()"
            )
        return self._slot

    @property
    def _grant(self) -> Grant:
        grant = self._held_slot.claim.grant
        assert grant is not None  # a slot is made of a grant
        return grant

    # --- getting and giving back

    def acquire(self) -> PooledLease:
        """Get an AppID of the pool, waiting for one if need be. Gives the lease itself.

        Raises:
            PoolTimeout: none became free in time, or none can.
            PoolClosed: the pool was closed.
            ProductNotFound, AuthenticationError, ...: the pool can't get any, and waiting would not help.
            LeaseInUse: it holds, or waits for, an AppID already.
        """
        try:
            self._pool._lend(self)
        except LeaseInUse:
            raise
        except BaseException:
            self._pool._take_back(self, False)
            raise
        return self

    __enter__ = acquire

    async def acquire_async(self) -> PooledLease:
        """`acquire()` for coroutines: the wait holds no thread, and a cancelled one keeps nothing."""
        try:
            await self._pool._lend_async(self)
        except LeaseInUse:
            raise
        except BaseException:
            self._pool._take_back(self, False)
            raise
        return self

    __aenter__ = acquire_async

    def release(self) -> bool:
        """Give the AppID back to the pool; says whether it was there to be given back. Never waits."""
        return self._pool._take_back(self, False)

    def renew(self, *, within: float | None = None, timeout: float | None = None) -> bool:
        """Give this AppID to the pool and have one of the next hour, as `Lease.renew()` does: for long jobs.

        With this hour still running, the wait for the next one is part of the call.

        Args:
            within: only if at most these seconds are left of the lease's hour (or it is over); otherwise nothing
                happens, so that a job can call it at each of its steps. `None`: in any case.
            timeout: seconds that this may take; `None`: until the hour turns, and then as long as a checkout may wait.

        Returns:
            Whether there is a new AppID.

        Raises:
            LeaseLost: it was lost, or given back.
            PoolTimeout, PoolClosed, ...: as `acquire()`; the lease holds nothing then.
        """
        if self._is_to_be_renewed(within, timeout):
            try:
                self._pool._renew(self, timeout)
            except BaseException:
                self._pool._take_back(self, False)
                raise
            return True
        return False

    async def renew_async(
        self, *, within: float | None = None, timeout: float | None = None
    ) -> bool:
        """`renew()` for coroutines: the wait holds no thread, and a cancelled one keeps nothing."""
        if self._is_to_be_renewed(within, timeout):
            try:
                await self._pool._renew_async(self, timeout)
            except BaseException:
                self._pool._take_back(self, False)
                raise
            return True
        return False

    def _is_to_be_renewed(self, within: float | None, timeout: float | None) -> bool:
        for seconds, name in ((within, "within"), (timeout, "timeout")):
            if seconds is not None:
                check_seconds(seconds, name)
        self.check()
        return within is None or self.remaining <= within

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool._take_back(self, kind is not None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool._take_back(self, kind is not None)

    def __del__(self) -> None:
        # No lock, no network, no join in here: it may run in any thread, in the middle of anything.
        if self._state is not _HELD or self._slot is None or self._slot.claim.pid != os.getpid():
            return
        self._pool._take_back_forgotten(self._slot)
        warnings.warn(
            f"a pooled lease of {self.product_name} was forgotten while it held {self._slot.claim.appid}; "
            "it is being given back",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
