"""A client's lease: one AppID, got on entry, given back exactly once on exit.

The lease is what the user sees of a claim. How one is got stands in `acquirer.py`; giving it back
is the keeper's.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from dataclasses import replace
from functools import partial
from typing import Self

from ..checks import check_seconds
from ..errors import LeaseLost
from ..runtime.coroutines import require_asyncio, wait_for
from ..runtime.executor import call_aside
from ..runtime.forks import WithLock
from ..wire.clock import ServerClock
from .acquirer import Acquirer
from .claim import Claim, ClaimState, Outcome
from .held import Lease, LeaseState, lease_in_use
from .keeper import LeaseKeeper
from .options import LeaseOptions, WaitOptions


class ClientLease(Lease, WithLock):
    """A lease of a client, with an AppID of its own. Made by `AppIdClient.lease()`.

    A release that can't be delivered is retried in the background.
    """

    def __init__(
        self, keeper: LeaseKeeper, acquirer: Acquirer, product_name: str, options: LeaseOptions
    ) -> None:
        super().__init__()
        self._keeper = keeper
        self._acquirer = acquirer
        self._options = options
        self._product_name = product_name
        self._pid = os.getpid()
        # Guarded by _lock:
        self._state = LeaseState.NEW
        self._claim: Claim | None = None
        self._loss = ""

    # --- what it is

    @property
    def product_name(self) -> str:
        return self._product_name

    @property
    def hour_end(self) -> float | None:
        """When the hour of the grant ends: seconds since the Unix epoch on the service's clock.

        A service without the extensions is asked for its time and hours, at most once an hour.

        Raises:
            LeaseNotHeld: the lease was never acquired.
            TransportError: it could not be asked.
        """
        grant = self._grant
        if grant.hour_end_ms is None:
            self._keeper.api.learn_hours(self._product_name)
        return self._keeper.api.hour_end_of(grant)

    @property
    def lost(self) -> bool:
        claim = self._claim
        if self._state is LeaseState.HELD and claim is not None:
            self._keeper.overdue(claim)
        return self._state is LeaseState.LOST

    @property
    def held(self) -> bool:
        if self.lost or self._state is not LeaseState.HELD or self._pid != os.getpid():
            return False
        # A client that was closed has given back what its leases held.
        return self._claim is not None and self._claim.state is ClaimState.HELD

    @property
    def _lease_state(self) -> LeaseState:
        return self._state

    @property
    def _held_claim(self) -> Claim | None:
        return self._claim

    @property
    def _known_hour_end(self) -> float | None:
        return self._keeper.api.hour_end_of(self._grant)

    @property
    def _service(self) -> tuple[str, ServerClock]:
        return self._keeper.api.base_url, self._keeper.api.clock

    def _why_not_held(self) -> str:
        if self._state is LeaseState.LOST:
            return self._loss
        if self._state is LeaseState.HELD:
            return "its client was closed"
        return "it was given back"

    # --- getting and giving back

    def acquire(self) -> Self:
        """Get an AppID, waiting as the lease's options say. Returns self.

        Raises:
            NoAppIdAvailable: the wait is over.
            ProductNotFound, AuthenticationError, TransportError, ProtocolError: waiting would not
                help.
            LeaseInUse: it holds, or waits for, an AppID already.
            ClientClosed: the client was closed.
            ValueError: the service's hours are not longer than `min_remaining`.
        """
        self._begin()
        try:
            self._acquirer.acquire(self._product_name, self._options.wait, self._open_claim)
            self._finish()
        except BaseException:
            self._fail()
            raise
        return self

    async def acquire_async(self) -> Self:
        """`acquire()` for coroutines: the wait holds no thread.

        A task that is cancelled meanwhile gives back what it got.
        """
        self._begin()
        try:
            await self._acquirer.acquire_async(
                self._product_name, self._options.wait, self._open_claim
            )
            self._finish()
        except BaseException:
            self._fail()
            raise
        return self

    def release(self) -> bool:
        """Give the AppID back. Returns whether the service confirmed that here and now.

        Only the first call does anything. A release that can't be delivered is retried in the
        background, not raised.
        """
        outcome = Outcome.DEFERRED
        try:
            claim = self._take_for_release()
            if claim is None:
                return False
            outcome = self._keeper.release(claim)
        except BaseException:
            # An interrupt can strike before the claim is taken, or before the executor has it.
            # Nobody else would give it back, or only once nothing holds the traceback any more.
            self._give_up_held()
            raise
        self._released()
        return outcome is Outcome.RELEASED

    async def release_async(self) -> bool:
        """`release()` for coroutines. Cancelling it doesn't stop the release."""
        require_asyncio()
        claim = self._take_for_release()
        if claim is None:
            return False
        call = self._keeper.begin_release(claim)
        cancelled: asyncio.CancelledError | None = None
        while not call.done:
            try:
                await wait_for(call)
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    break
                cancelled = error
        outcome = call.result() if call.done else Outcome.DEFERRED
        self._released()
        if cancelled is not None:
            raise cancelled
        return outcome is Outcome.RELEASED

    def renew(self, *, within: float | None = None, timeout: float | None = None) -> bool:
        """Give this AppID back and take a fresh one of the next hour: for jobs of several hours.

        The holder chooses when, so that no AppID is in use while the hour turns. While this hour
        still runs, the wait for the next one is part of the call.

        Args:
            within: renew only if at most these seconds are left of the lease's hour (or it is
                over); otherwise do nothing. A job can so call it at each of its steps. `None`:
                renew in any case.
            timeout: seconds that getting the new AppID may take; `None`: as the lease's options
                say.

        Returns:
            Whether there is a new AppID.

        Raises:
            LeaseLost: it was lost, or given back.
            NoAppIdAvailable, TransportError, ...: as `acquire()`; the lease holds nothing then.
        """
        _check_renewal(within, timeout)
        self.check()
        hour_end = self.hour_end
        if self._is_too_early(hour_end, within):
            return False
        options = self._renewal_options(hour_end, timeout)
        try:
            self._keeper.release(self._take_for_renewal())
            self._acquirer.acquire(self._product_name, options, self._open_claim)
            self._finish()
        except BaseException:
            self._fail()
            raise
        return True

    async def renew_async(
        self, *, within: float | None = None, timeout: float | None = None
    ) -> bool:
        """`renew()` for coroutines."""
        _check_renewal(within, timeout)
        self.check()
        hour_end = await self._acquirer.call_async(lambda: self.hour_end)
        if self._is_too_early(hour_end, within):
            return False
        options = self._renewal_options(hour_end, timeout)
        try:
            await wait_for(self._keeper.begin_release(self._take_for_renewal()))
            await self._acquirer.acquire_async(self._product_name, options, self._open_claim)
            self._finish()
        except BaseException:
            self._fail()
            raise
        return True

    def __del__(self) -> None:
        # No lock, no network, no join in here: it may run in any thread, at any point.
        claim = getattr(self, "_claim", None)
        if claim is None or claim.pid != os.getpid() or claim.state is not ClaimState.HELD:
            return
        self._keeper.forget(claim)
        if self._state is not LeaseState.HELD:
            return  # interrupts struck during its release, and again while that was mended
        self._warn_forgotten(claim.appid)

    # --- transitions

    def _open_claim(self) -> Claim:
        # Known here before the keeper has it: after an interrupt in between, `_fail` ends it.
        claim = self._claim = Claim(
            self._product_name,
            ttl=self._options.ttl,
            holder=self._options.holder,
            on_lost=weakref.WeakMethod(self._claim_lost),
        )
        self._keeper.register(claim)
        return claim

    def _begin(self) -> None:
        with self._lock:
            if self._state not in (LeaseState.NEW, LeaseState.RELEASED, LeaseState.LOST):
                raise lease_in_use(self._product_name, self._state)
            self._claim = None
            self._pid = os.getpid()
            self._state = LeaseState.ACQUIRING

    def _finish(self) -> None:
        with self._lock:
            self._state = LeaseState.HELD

    def _fail(self) -> None:
        with self._lock:
            claim = self._claim
            if self._state in (LeaseState.ACQUIRING, LeaseState.HELD):
                self._state = LeaseState.RELEASED
        if claim is not None:
            self._keeper.give_up(claim)

    def _take_for_release(self) -> Claim | None:
        """The claim, for the one caller that may give it back."""
        with self._lock:
            if self._state is not LeaseState.HELD or self._pid != os.getpid():
                return None
            self._state = LeaseState.RELEASING
            return self._claim

    def _give_up_held(self) -> None:
        """After an interrupt: what was to be released goes back, now or in the background."""
        with self._lock:
            if self._pid != os.getpid() or self._state not in (
                LeaseState.HELD,
                LeaseState.RELEASING,
            ):
                return
            self._state = LeaseState.RELEASED
            claim = self._claim
        if claim is not None:
            self._keeper.give_up(claim)

    def _take_for_renewal(self) -> Claim:
        with self._lock:
            if self._state is LeaseState.HELD and self._claim is not None:
                self._state = LeaseState.ACQUIRING
                return self._claim
        raise LeaseLost(
            f"the lease of {self._product_name} was given back by another thread during its "
            "renewal",
            service=self._keeper.api.base_url,
            product_name=self._product_name,
        )

    def _released(self) -> None:
        with self._lock:
            if self._state is LeaseState.RELEASING:
                self._state = LeaseState.RELEASED

    def _claim_lost(self, claim: Claim, reason: str) -> None:
        """The keeper says that the claim ended before it was given back."""
        with self._lock:
            if claim is not self._claim or self._state not in (
                LeaseState.HELD,
                LeaseState.RELEASING,
            ):
                return
            self._state = LeaseState.LOST
            self._loss = reason
        on_lost = self._options.on_lost
        if on_lost is not None:
            call_aside(partial(on_lost, self), f"on_lost of {self!r}")

    def _is_too_early(self, hour_end: float | None, within: float | None) -> bool:
        """Whether more than `within` seconds are left of the hour."""
        if within is None or hour_end is None:
            return False
        return self._keeper.api.clock.seconds_before(hour_end) > within

    def _renewal_options(self, hour_end: float | None, timeout: float | None) -> WaitOptions:
        # A place that was kept was for the wait before. Who renews can't come back: its body runs.
        options = replace(
            self._options.wait,
            not_before=hour_end,
            ticket=None,
            keep_place=False,
            come_back=None,
        )
        return options if timeout is None else replace(options, timeout=timeout)


def _check_renewal(within: float | None, timeout: float | None) -> None:
    for value, name in ((within, "within"), (timeout, "timeout")):
        if value is not None:
            check_seconds(value, name)
