"""One AppID held by this code: got on entry, given back exactly once on exit, whatever happens in between.

The lease is what the user sees of a claim. Getting one is `acquiring.py`'s work, giving it back the keeper's.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from types import TracebackType

from . import forking
from .acquiring import Acquirer
from .claims import Claim, ClaimState, Outcome
from .config import check_name, check_seconds
from .errors import LeaseInUse, LeaseLost, LeaseNotHeld
from .keeper import LeaseKeeper
from .models import Grant
from .waiting import WaitOptions

DEFAULT_TTL = 60.0
"""Seconds without a heartbeat after which an extended service ends a lease by itself."""

MAX_HOLDER = 200
"""Characters that the text about a holder may have (wire contract, "Extensions")."""


class LeaseState(Enum):
    """Where a lease stands."""

    NEW = "new"
    ACQUIRING = "acquiring"
    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """What `client.lease(...)` was asked for; see there."""

    wait: WaitOptions = WaitOptions()
    ttl: float | None = DEFAULT_TTL
    holder: str | None = None
    on_lost: Callable[[Lease], object] | None = None

    def __post_init__(self) -> None:
        ttl, on_lost = self.ttl, self.on_lost
        if ttl is not None and not 1 <= check_seconds(ttl, "ttl") <= 3600:
            raise ValueError(f"ttl must be between 1 and 3600 seconds, not {ttl!r}")
        if self.holder is not None:
            check_name(self.holder, "holder", longest=MAX_HOLDER)
        if on_lost is not None and not callable(on_lost):
            raise TypeError(f"on_lost must be callable, not {type(on_lost).__name__}")


class Lease:
    """An AppID of one product, leased for the time of a `with` or `async with` block.

    Made by `AppIdClient.lease()`; can be used again once it was given back. The block starts with an AppID or not
    at all. Its end gives the AppID back exactly once, on return and on every exception, without ever masking the
    body's own exception: a release that can't be delivered is retried in the background. `acquire()` and
    `release()` do the same by hand.

        with client.lease("stt_billing") as lease:
            transcribe(lease.appid, lease.vid)
    """

    def __init__(
        self, keeper: LeaseKeeper, acquirer: Acquirer, product_name: str, options: LeaseOptions
    ) -> None:
        self._keeper = keeper
        self._acquirer = acquirer
        self._options = options
        self.product_name = product_name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._state = LeaseState.NEW
        self._claim: Claim | None = None
        self._loss = ""
        forking.register(self)

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    # --- what it is

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
        """When it was granted: milliseconds since the Unix epoch on the service's clock."""
        return self._grant.start_time

    @property
    def hour_end(self) -> float | None:
        """When the hour ends in which it was granted: seconds since the Unix epoch on the service's clock.

        From a service without the extensions this asks for its time and hours, once an hour at the most.

        Raises:
            TransportError: that could not be asked.
        """
        grant = self._grant
        if grant.hour_end_ms is None:
            self._keeper.api.learn_hours(self.product_name)
        return self._keeper.api.hour_end_of(grant)

    @property
    def remaining(self) -> float:
        """Seconds that are certainly left of its hour on the service's clock; 0 once it has turned.

        An AppID that is given back later than that is burned for the next hour, too.
        """
        hour_end = self.hour_end
        if hour_end is None:
            return 0.0
        return max(0.0, self._keeper.api.clock.seconds_before(hour_end))

    @property
    def released(self) -> bool:
        """Whether it was given back, or handed to the keeper that goes on trying to."""
        return self._state in (LeaseState.RELEASING, LeaseState.RELEASED)

    @property
    def lost(self) -> bool:
        """Whether it ended before it was given back: on the service's word, or a whole `ttl` went by unheard."""
        claim = self._claim
        if self._state is LeaseState.HELD and claim is not None:
            self._keeper.overdue(claim)
        return self._state is LeaseState.LOST

    @property
    def held(self) -> bool:
        """Whether the AppID is this process's to use now, as far as is known."""
        if self.lost or self._state is not LeaseState.HELD or self._pid != os.getpid():
            return False
        # A client that was closed has given back what its leases held.
        return self._claim is not None and self._claim.state is ClaimState.HELD

    def check(self) -> None:
        """Make sure that the AppID is still ours, without asking the service: cheap enough for every step of a job.

        Raises:
            LeaseLost: it isn't; stop using it.
        """
        if self.held:
            return
        grant = self._grant
        if self._pid != os.getpid():
            why = "it belongs to the parent process"
        elif self._state is LeaseState.LOST:
            why = self._loss
        elif self._state is LeaseState.HELD:
            why = "its client was closed"
        else:
            why = "it was given back"
        raise LeaseLost(
            f"{grant.appid} of {self.product_name} is not held any more: {why}",
            service=self._keeper.api.base_url,
            product_name=self.product_name,
            appid=grant.appid,
        )

    def __repr__(self) -> str:
        appid = f" {self._claim.appid}" if self._claim is not None and self._claim.appid else ""
        return f"<Lease of {self.product_name!r}{appid} {self._state.value}>"

    @property
    def _grant(self) -> Grant:
        grant = self._claim.grant if self._claim is not None else None
        if grant is None:
            raise LeaseNotHeld(
                f"this lease of {self.product_name} holds no AppID: enter it with 'with', or call acquire()"
            )
        return grant

    # --- getting and giving back

    def acquire(self) -> Lease:
        """Get an AppID, waiting as the lease's options say. Gives the lease itself.

        Raises:
            NoAppIdAvailable: the wait is over.
            ProductNotFound, AuthenticationError, TransportError, ProtocolError: there's no point in waiting.
            LeaseInUse: it holds, or waits for, an AppID already.
        """
        self._begin()
        try:
            self._acquirer.acquire(
                self.product_name, self._options.wait, self._open_claim, shielded=True
            )
            self._finish()
        except BaseException:
            self._fail()
            raise
        return self

    async def acquire_async(self) -> Lease:
        """`acquire()` for coroutines: the wait holds no thread, and a cancelled one gives back what it got."""
        self._begin()
        try:
            await self._acquirer.acquire_async(
                self.product_name, self._options.wait, self._open_claim
            )
            self._finish()
        except BaseException:
            self._fail()
            raise
        return self

    def release(self) -> bool:
        """Give the AppID back. Says whether the service confirmed that here and now.

        Only the first call does anything; what can't be delivered is deferred, not raised.
        """
        outcome = Outcome.DEFERRED
        try:
            claim = self._take_for_release()
            if claim is None:
                return False
            outcome = self._keeper.release(claim)
        except BaseException:
            # An interrupt can strike before the claim is taken, or before a helper has it: nobody else would give it
            # back, or only once nothing holds the traceback any more.
            self._give_up_held()
            raise
        self._released()
        return outcome is Outcome.RELEASED

    async def release_async(self) -> bool:
        """`release()` for coroutines. Cancelling it doesn't stop it: the release goes on to its end."""
        claim = self._take_for_release()
        if claim is None:
            return False
        future = asyncio.wrap_future(self._keeper.begin_release(claim))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    break
                cancelled = error
        outcome = future.result() if future.done() else Outcome.DEFERRED
        self._released()
        if cancelled is not None:
            raise cancelled
        return outcome is Outcome.RELEASED

    def renew(self, *, within: float | None = None, timeout: float | None = None) -> bool:
        """Give this AppID back and take a fresh one, for the next hour: for jobs that are longer than an hour.

        The holder chooses the moment, so that no AppID is in use while the hour turns. With this hour still
        running, the wait for the next one is part of the call.

        Args:
            within: only if at most these seconds are left of the lease's hour (or it is over); otherwise nothing
                happens, so that a job can call it at each of its steps. `None`: in any case.
            timeout: seconds that getting the new AppID may take; `None`: as the lease's options say.

        Returns:
            Whether there is a new AppID.

        Raises:
            LeaseLost: it was lost, or given back.
            NoAppIdAvailable, TransportError, ...: as `acquire()`; the lease holds nothing then.
        """
        self.check()
        if within is not None and self.remaining > within:
            return False
        options = self._renewal_options(self.hour_end, timeout)
        try:
            self._keeper.release(self._take_for_renewal())
            self._acquirer.acquire(self.product_name, options, self._open_claim, shielded=True)
            self._finish()
        except BaseException:
            self._fail()
            raise
        return True

    async def renew_async(
        self, *, within: float | None = None, timeout: float | None = None
    ) -> bool:
        """`renew()` for coroutines."""
        self.check()
        hour_end = await self._acquirer.call_async(lambda: self.hour_end)
        if within is not None and self.remaining > within:
            return False
        options = self._renewal_options(hour_end, timeout)
        try:
            await asyncio.wrap_future(self._keeper.begin_release(self._take_for_renewal()))
            await self._acquirer.acquire_async(self.product_name, options, self._open_claim)
            self._finish()
        except BaseException:
            self._fail()
            raise
        return True

    def __enter__(self) -> Lease:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Lease:
        return await self.acquire_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release_async()

    def __del__(self) -> None:
        # No lock, no network, no join in here: it may run in any thread, in the middle of anything.
        claim = getattr(self, "_claim", None)
        if claim is None or claim.pid != os.getpid() or claim.state is not ClaimState.HELD:
            return
        self._keeper.forget(claim)
        if self._state is not LeaseState.HELD:
            return  # interrupts struck while it was given back, and again while that was mended
        warnings.warn(
            f"a lease of {self.product_name} was forgotten while it held {claim.appid}; it is being given back",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    # --- transitions

    def _open_claim(self) -> Claim:
        # Known here before the keeper has it: an interrupt in between leaves it to `_fail`.
        claim = self._claim = Claim(
            self.product_name,
            ttl=self._options.ttl,
            holder=self._options.holder,
            owner=weakref.ref(self),
        )
        self._keeper.register(claim)
        return claim

    def _begin(self) -> None:
        with self._lock:
            if self._state not in (LeaseState.NEW, LeaseState.RELEASED, LeaseState.LOST):
                raise LeaseInUse(
                    f"this lease of {self.product_name} is {self._state.value} already: make one lease for each block"
                )
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
        """Whatever came in between: what was to be released goes back, now or in the background."""
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
            f"the lease of {self.product_name} was given back by another thread during its renewal",
            service=self._keeper.api.base_url,
            product_name=self.product_name,
        )

    def _released(self) -> None:
        with self._lock:
            if self._state is LeaseState.RELEASING:
                self._state = LeaseState.RELEASED

    def _claim_lost(self, claim: Claim, reason: str) -> None:
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
            self._keeper.run_aside(partial(on_lost, self), f"on_lost of {self!r}")

    def _renewal_options(self, hour_end: float | None, timeout: float | None) -> WaitOptions:
        options = replace(self._options.wait, not_before=hour_end)
        return options if timeout is None else replace(options, timeout=timeout)
