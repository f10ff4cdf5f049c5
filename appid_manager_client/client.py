"""The public client: puts the parts together, checks arguments, passes calls on."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .administration import Administration
from .checks import check_name, check_seconds
from .config import URL_VARIABLE, Settings
from .errors import AppIdManagerError
from .events import EventHook
from .fieldcalls import explains_field_calls
from .journal.journal import Journal, default_directory
from .journal.reaping import Reaped, reap
from .lease.acquirer import Acquirer
from .lease.claim import Claim, PendingRelease, Record
from .lease.exits import EXIT_TIMEOUT
from .lease.held import Lease
from .lease.keeper import LeaseKeeper
from .lease.lease import ClientLease
from .lease.options import DEFAULT_TTL, LeaseOptions, WaitOptions
from .lease.unmanaged import UnmanagedAppIds
from .pool.lender import Lender
from .pool.model import PoolOptions
from .pool.pool import LeasePool
from .runtime.forks import WithLock
from .runtime.time import SystemTime
from .secret import hidden, hidden_url
from .text import get_logger
from .wire.api import ServiceApi
from .wire.answers import LONGEST_TICKET
from .wire.clock import ServerClock
from .wire.connections import SessionFactory
from .wire.models import Acquisition
from .wire.products import Products
from .wire.transport import Transport

logger = get_logger()


@explains_field_calls
class AppIdClient(Administration, WithLock):
    """A client of one AppID service. Safe for many threads, and across `fork`.

        client = AppIdClient("http://localhost:5000")
        with client.lease("stt_billing") as lease:
            print(lease.appid, lease.vid)

    Args:
        base_url: the service; default `APPID_MANAGER_URL`, else the documented built-in address.
        timeout: seconds that connecting, waiting for an answer, and reading it may each take;
            default `APPID_MANAGER_TIMEOUT`, else 5.
        auth_token: sent as `X-API-Key`, and never to the built-in address; default
            `APPID_MANAGER_TOKEN`.
        journal: a directory in which other processes of this host find what a killed one held;
            `True` for the user's state directory; default `APPID_MANAGER_JOURNAL`, else none.
        session_factory: called once per process for the `requests.Session` to send through, for
            those who need adapters, hooks or a proxy of their own.
        on_event: called with an `Event` for everything that happens to a lease.
        system: the clock, the sleeps and the jitter, for tests; default: those of this machine.

    Raises:
        ConfigurationError: a setting can't be used; the message names the argument or variable.
    """

    __module__ = "appid_manager_client"

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float | None = None,
        *,
        auth_token: str | None = None,
        journal: str | os.PathLike[str] | bool | None = None,
        session_factory: SessionFactory | None = None,
        on_event: EventHook | None = None,
        system: SystemTime | None = None,
    ) -> None:
        base_url, auth_token = hidden_url(base_url), hidden(auth_token)
        super().__init__()
        if on_event is not None and not callable(on_event):
            raise TypeError(f"on_event must be callable, not {type(on_event).__name__}")
        settings = Settings.resolve(base_url, timeout, auth_token, journal)
        if settings.default_url:
            withheld = "; the token that is configured is not sent there"
            logger.warning(
                "no service is configured (base_url, %s): using the built-in default %s%s",
                URL_VARIABLE,
                settings.base_url,
                withheld if settings.token_withheld else "",
            )
        self.base_url = settings.base_url
        self.timeout = settings.timeout
        self._on_event = on_event
        self._system = system or SystemTime()
        self._transport = Transport(settings, self._system, session_factory)
        self._api = ServiceApi(self._transport, ServerClock(self._system))
        self._products = Products(self._api, self._system)
        self._journal: Journal | None = None
        self._keeper = LeaseKeeper(
            self._api, self._system, open_record=self._open_record, on_event=on_event
        )
        self._acquirer = Acquirer(self._keeper, self._system, on_event)
        if settings.journal:
            self.use_journal(None if settings.journal is True else settings.journal)
        self._unmanaged = UnmanagedAppIds(self._keeper, self._acquirer, self._system)
        # Guarded by _lock: the pools that are in use somewhere.
        self._pools: weakref.WeakSet[LeasePool] = weakref.WeakSet()

    # --- the documented calls

    def acquire_appid(
        self,
        product_name: str,
        max_retries: int = 60,
        retry_interval: float = 60,
        *,
        timeout: float | None = None,
        force: bool = False,
        ttl: float | None = None,
        holder: str | None = None,
    ) -> Acquisition:
        """Acquire an available AppID; it is in use until `release_appid`.

        A `lease` gives it back by itself. While every AppID is taken, this polls every
        `retry_interval` seconds, and exactly when the service's hour turns, as AppIDs become free
        then. A service that can't be reached is tried again with growing pauses.

        Args:
            product_name: the product.
            max_retries: how many tries follow the first.
            retry_interval: seconds between polls.
            timeout: seconds that the whole call may take; `None`: as long as there are tries; 0:
                one try, no waiting. When nothing can be free before it ends, the error comes at
                once, and says when.
            force: take an AppID although it was used in this hour.
            ttl: seconds (1 to 3600) after which a service with the extensions takes the AppID
                back if it was not released: nothing extends it. `None`: never.
            holder: who holds it, for people who read the status; at most 200 characters.

        Returns:
            `(appid, vid, start_time, product_name)`.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            NoAppIdAvailable: the wait is over.
            ProductNotFound, AuthenticationError: another try would not help.
            TransportError, ProtocolError: no usable answer.
            ClientClosed: the client was closed.
        """
        check_name(product_name, "product_name")
        wait = WaitOptions(max_retries, retry_interval, timeout, force)
        options = LeaseOptions(wait, ttl, holder)
        return self._unmanaged.acquire(product_name, options)

    def release_appid(self, appid: str, product_name: str) -> bool:
        """Release an AppID. A failure that may pass is tried again up to three times.

        Returns:
            `True` when this call released it, `False` when the service says that it was released
            already (or that somebody else has it by now).

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            AppIdNotFound, ProductMismatch, InvalidRequest: the service refused it; `code` says
                why.
            AuthenticationError, TransportError, ProtocolError: no usable answer.
        """
        check_name(appid, "appid")
        check_name(product_name, "product_name")
        return self._unmanaged.release(appid, product_name)

    def health_check(self) -> bool:
        """Check whether the service is well. Never raises; the log says why it is not."""
        try:
            self._api.health()
        except AppIdManagerError as error:
            logger.info("health check: %s", error)
            return False
        except Exception:
            logger.exception("health check: the session could not be used")
            return False
        return True

    def leave_line(self, product_name: str, ticket: str) -> None:
        """Give up a place in line that was kept: nobody waits on with it.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing was sent.
            InvalidRequest: the service has no line.
            AuthenticationError, TransportError, ProtocolError: no usable answer.
        """
        check_name(product_name, "product_name")
        check_name(ticket, "ticket", longest=LONGEST_TICKET)
        self._api.leave_line(product_name, ticket)

    # --- leases

    def lease(
        self,
        product_name: str,
        *,
        timeout: float | None = None,
        max_retries: int = 60,
        retry_interval: float = 60,
        min_remaining: float = 0.0,
        ttl: float | None = DEFAULT_TTL,
        holder: str | None = None,
        on_lost: Callable[[Lease], object] | None = None,
        ticket: str | None = None,
        keep_place: bool = False,
        come_back: float | None = None,
    ) -> Lease:
        """Make a lease, to be entered with `with` or `async with`; it is always given back.

        Args:
            product_name: the product.
            timeout, max_retries, retry_interval: as in `acquire_appid`.
            min_remaining: seconds that must be left of the hour when the block starts; with less,
                the lease waits for the next hour. Less than an hour.
            ttl: seconds (1 to 3600) after which a service with the extensions ends the lease if
                this process is gone; heartbeats keep it alive. `None`: it lasts until released.
            holder: who holds it, for people who read the status; at most 200 characters. `None`:
                `user@host:pid program` of this process.
            on_lost: called with the lease, on another thread, when it turns out to be lost.
            ticket: the place in line that an earlier wait kept, on a service that has a line.
            keep_place: whether a wait that ends without an AppID keeps its place, as
                `NoAppIdAvailable.ticket`: for whoever waits on with another lease, within an hour.
                A place is lost if the answer with the AppID is.
            come_back: for a task that can come back instead of waiting. It keeps its place, and is
                held over the turn only where its place is within the number of AppIDs; otherwise
                the wait ends with `NoAppIdAvailable`, and `retry_after` says when to come back with
                that error's `ticket` and `come_back_at`. The first time: 0.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        check_name(product_name, "product_name")
        wait = WaitOptions(
            max_retries,
            retry_interval,
            timeout,
            min_remaining=min_remaining,
            ticket=ticket,
            keep_place=keep_place,
            come_back=come_back,
        )
        options = LeaseOptions(wait, ttl, holder, on_lost)
        return ClientLease(self._keeper, self._acquirer, product_name, options)

    def pool(
        self,
        product_name: str,
        *,
        min_size: int = 0,
        max_size: int = 4,
        max_uses: int | None = None,
        renew_margin: float = 5.0,
        timeout: float | None = 30.0,
        on_error: str = "release",
        ttl: float | None = DEFAULT_TTL,
        holder: str | None = None,
    ) -> LeasePool:
        """Make a pool of leases: one AppID serves many checkouts within its hour.

        For code that needs AppIDs often.

        Args:
            product_name: the product.
            min_size: AppIDs to hold in every hour, even if nobody uses them: each costs one of
                the hour's AppIDs.
            max_size: AppIDs to hold at the most.
            max_uses: checkouts that one AppID serves within its hour; 1 for strict isolation,
                `None` for no bound.
            renew_margin: seconds before the hour turns at which idle AppIDs are given back, and
                checkouts begin to wait for the next hour. At most a tenth of the hour.
            timeout: seconds that a checkout waits; `None`: without bound.
            on_error: what happens to an AppID whose `with` block raised: `"release"` gives it
                back to the service, and another one takes its place when needed; `"keep"` goes
                on using it.
            ttl, holder: as in `lease`.

        Raises:
            ValueError, TypeError: an argument is wrong.
            ClientClosed: the client was closed.
        """
        check_name(product_name, "product_name")
        options = PoolOptions(
            min_size, max_size, max_uses, renew_margin, timeout, on_error, ttl, holder
        )
        # In one step, so that `close` closes every pool that was made before it.
        with self._lock:
            self._acquirer.check_open()
            pool = LeasePool(Lender(self._keeper, product_name, options, on_event=self._on_event))
            self._pools.add(pool)
        return pool

    def use_journal(self, directory: str | os.PathLike[str] | None = None) -> None:
        """Keep a journal of all leases from now on, in which `reap` finds what a killed one held.

        Args:
            directory: on a local file system; any number of processes of this user share it.
                `None`: the user's state directory.

        Raises:
            ConfigurationError: it can't be written, or the system has no `flock`.
        """
        self._journal = Journal(default_directory() if directory is None else directory)

    @property
    def journal(self) -> Path | None:
        """The directory of the journal, or `None` where none is kept."""
        return None if self._journal is None else self._journal.directory

    def reap(self) -> tuple[Reaped, ...]:
        """Give back what killed processes of this host held at this client's service.

        The journal tells who is dead: the kernel frees the lock on a lease's file together with
        its process. The service is asked whether it still shows the same grant. On a service
        without the extensions, looking and releasing are two calls, so that somebody else's
        release and acquire could fall in between.

        Returns:
            What was found; each says whether it was given back, or not held any more.

        Raises:
            ConfigurationError: the client keeps no journal.
            AppIdManagerError: the service could not be asked; what is left stays in the journal
                for the next time.
        """
        return reap(self._journal, self._api)

    @property
    def pending_releases(self) -> tuple[PendingRelease, ...]:
        """The releases that could not be delivered yet, and are retried in the background."""
        return self._keeper.pending

    def close(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Give back all leases, wake all that wait for one, and close the connections.

        Takes about `timeout` seconds at the most. What can't be delivered by then is logged, and
        stays in the journal if there is one. AppIDs from `acquire_appid` are the caller's own,
        and stay in use.
        """
        deadline = self._system.monotonic() + check_seconds(timeout, "timeout")
        with self._lock:
            self._acquirer.close()
            pools = list(self._pools)
        for pool in pools:
            pool.close(max(0.0, deadline - self._system.monotonic()))
        self._keeper.close(max(0.0, deadline - self._system.monotonic()))
        self._acquirer.close(max(0.0, deadline - self._system.monotonic()))
        self._transport.close()

    def __enter__(self) -> AppIdClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "base_url"):  # shown by a traceback of its own making
            return "<AppIdClient without settings>"
        return f"AppIdClient({self.base_url!r}, timeout={self.timeout:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "an AppIdClient can't be pickled: it holds connections and leases of one process. "
            "Make one in each process"
        )

    def _open_record(self, claim: Claim) -> Record | None:
        if self._journal is None:
            return None
        return self._journal.open(
            service=self.base_url,
            product_name=claim.product_name,
            request_id=claim.request_id,
            holder=claim.holder,
        )
