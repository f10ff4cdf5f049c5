"""The lease of a pool: what a caller holds for the time of a block.

It decides nothing: the pool's lender lends it a slot and takes it back.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from ..checks import check_seconds
from ..errors import LeaseInUse
from ..lease.claim import Claim, ClaimState
from ..lease.held import Lease, LeaseState
from ..wire.clock import ServerClock
from .lender import Lender
from .model import Ticket

_NEW, _HELD, _LOST = LeaseState.NEW, LeaseState.HELD, LeaseState.LOST


class PooledLease(Lease, Ticket):
    """A lease of a pool, with an AppID that the pool lends it. Made by `LeasePool.lease()`.

    Nobody else has the AppID meanwhile. The end of the block hands it to the next caller. It
    goes back to the service instead if its hour is nearly over, if it was lost, or if the body
    raised.

    The attributes that it has as a `Ticket` are the pool's.
    """

    __module__ = "appid_manager_client"
    __slots__ = ("_pool", "_lender", "__weakref__")

    def __init__(
        self, pool: object, lender: Lender, timeout: float | None, min_remaining: float
    ) -> None:
        self._pool = pool
        """A lease that is checked out keeps its pool from being garbage-collected."""
        self._lender = lender
        self.timeout = timeout
        self.min_remaining = min_remaining
        self.state = _NEW
        self.slot = None

    # --- what it is

    @property
    def product_name(self) -> str:
        return self._lender.product_name

    @property
    def hour_end(self) -> float:
        """When its hour ends: seconds since the Unix epoch on the service's clock."""
        slot = self.slot
        if slot is None:
            raise self._not_held()
        return slot.hour_end

    @property
    def lost(self) -> bool:
        slot = self.slot
        if self.state is _HELD and slot is not None:
            self._lender.keeper.overdue(slot.claim)
            return bool(slot.loss)
        return self.state is _LOST

    @property
    def held(self) -> bool:
        slot = self.slot
        if self.state is not _HELD or slot is None or slot.claim.pid != os.getpid():
            return False
        # A client that was closed has given back what its leases held.
        return not self.lost and slot.claim.state is ClaimState.HELD

    @property
    def _lease_state(self) -> LeaseState:
        return self.state

    @property
    def _held_claim(self) -> Claim | None:
        slot = self.slot
        return None if slot is None else slot.claim

    @property
    def _known_hour_end(self) -> float | None:
        return self.hour_end

    @property
    def _service(self) -> tuple[str, ServerClock]:
        api = self._lender.keeper.api
        return api.base_url, api.clock

    def _why_not_held(self) -> str:
        slot = self.slot
        if slot is not None and self.state in (_HELD, _LOST):
            return slot.loss or "its client was closed"
        return "it was given back"

    # --- getting and giving back

    def acquire(self) -> Self:
        """Get an AppID of the pool, waiting for one if there is none. Returns self.

        Raises:
            PoolTimeout: no AppID became free in time, or none can.
            PoolClosed: the pool was closed.
            ProductNotFound, AuthenticationError, ...: the pool can't get any AppID, and waiting
                would not help.
            LeaseInUse: it holds, or waits for, an AppID already.
        """
        try:
            self._lender.lend(self)
        except LeaseInUse:
            raise
        except BaseException:
            self._lender.take_back(self, False)
            raise
        return self

    __enter__ = acquire

    async def acquire_async(self) -> Self:
        """`acquire()` for coroutines: the wait holds no thread. A cancelled one keeps nothing."""
        try:
            await self._lender.lend_async(self)
        except LeaseInUse:
            raise
        except BaseException:
            self._lender.take_back(self, False)
            raise
        return self

    __aenter__ = acquire_async

    def release(self) -> bool:
        """Give the AppID back to the pool. Returns whether the lease held one. Never waits."""
        try:
            return self._lender.take_back(self, False)
        except BaseException:
            # An interrupt struck, perhaps before anything was done. Nothing is done twice.
            self._lender.take_back(self, False)
            raise

    async def release_async(self) -> bool:
        """`release()` for coroutines."""
        return self.release()

    def renew(self, *, within: float | None = None, timeout: float | None = None) -> bool:
        """Give this AppID back to the pool and take a fresh one, of the next hour: for long jobs.

        If this hour still runs, the call waits for the next one.

        Args:
            within: do it only if at most these seconds are left of the lease's hour, or it is
                over. So a job can call it at each of its steps. `None`: do it in any case.
            timeout: seconds that this may take. `None`: until the hour turns, and then as long
                as a checkout may wait.

        Returns:
            Whether there is a new AppID.

        Raises:
            LeaseLost: it was lost, or given back.
            PoolTimeout, PoolClosed, ...: as `acquire()`. The lease holds nothing then.
        """
        if not self._is_due(within, timeout):
            return False
        try:
            self._lender.renew(self, self.hour_end, timeout)
        except BaseException:
            self._lender.take_back(self, False)
            raise
        return True

    async def renew_async(
        self, *, within: float | None = None, timeout: float | None = None
    ) -> bool:
        """`renew()` for coroutines: the wait holds no thread. A cancelled one keeps nothing."""
        if not self._is_due(within, timeout):
            return False
        try:
            await self._lender.renew_async(self, self.hour_end, timeout)
        except BaseException:
            self._lender.take_back(self, False)
            raise
        return True

    def _is_due(self, within: float | None, timeout: float | None) -> bool:
        """Whether the lease is to be renewed now."""
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
        try:
            self._lender.take_back(self, kind is not None)
        except BaseException:
            self._lender.take_back(self, kind is not None)  # as in release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __del__(self) -> None:
        # No lock, no network, no join in here: it may run in any thread, in the middle of
        # anything.
        slot = self.slot
        if self.state is not _HELD or slot is None or slot.claim.pid != os.getpid():
            return
        self._lender.take_back_forgotten(slot)
        self._warn_forgotten(slot.claim.appid)
