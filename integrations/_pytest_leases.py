"""Gets the AppIDs of tests, and remembers whether the service turned out to be down.

Owns what a mark may say, how often a test asks, and which error it fails with: always one line,
without a traceback of the library. Which fixture asks, and what stands in the report, is for the
plugin.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from appid_manager_client import (
    AppIdClient,
    AppIdManagerError,
    AuthenticationError,
    Lease,
    LeasePool,
    NoAppIdAvailable,
    ProductNotFound,
    TransportError,
)
from appid_manager_client.decorator.decorator import ClientLeaseOptions, PoolLeaseOptions
from appid_manager_client.errors import NoAppIdInTime

from ._pytest_waits import waits_of

ON_EXHAUSTED = ("wait", "skip", "fail")

FIRST_TRY = 5.0
"""Seconds for which a test asks before it counts the service as down, or says that it waits."""

_LOOK = 0.1
"""Seconds for which a test waits to hear whether a service that was down answers again."""

_RARELY = 10
"""A try that failed although the service seemed well is followed by so many times its length
without another one."""

_LONGEST_WAIT = 3660.0
"""Seconds for which a test waits for an AppID of a pool: about as long as for one of a client."""

_LOCAL_APPIDS = 1000

_MARK = '@pytest.mark.appid("PRODUCT", option=...)'


def fail(message: str) -> NoReturn:
    """Fail the test with this text and no more: no traceback, no error that led to it."""
    raise pytest.fail.Exception(message, pytrace=False) from None


def fail_with(error: Exception) -> NoReturn:
    """Fail the test with the one line of an error."""
    fail(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Show only the message of an error of ours: its traceback would show only the library."""
    try:
        yield
    except AppIdManagerError as error:
        fail_with(error)


# --- what a test asks for


@dataclass(frozen=True, slots=True)
class Wish:
    """What a mark, or a call of `appid_lease_factory`, asks for."""

    product: str
    on_exhausted: str
    pooled: bool
    options: dict[str, Any]

    @classmethod
    def read(
        cls, args: tuple[Any, ...], kwargs: dict[str, Any], on_exhausted: str, write: str = _MARK
    ) -> Wish:
        """Check the arguments, and fail the test with `write`, what to write, if they are wrong."""
        options = dict(kwargs)
        product = options.pop("product", None) if not args else args[0]
        if not isinstance(product, str) or not product.strip() or len(args) > 1:
            fail(f"the product is named by one text: {write}")
        way = options.pop("on_exhausted", None) or on_exhausted
        if way not in ON_EXHAUSTED:
            fail(f"on_exhausted must be one of {', '.join(ON_EXHAUSTED)}, not {way!r}")
        pooled = options.pop("pool", False)
        if not isinstance(pooled, bool):
            fail(f"pool must be True or False, not {pooled!r}")
        known = (PoolLeaseOptions if pooled else ClientLeaseOptions).__annotations__
        unknown = sorted(options.keys() - known.keys())
        if unknown:
            all_known = ", ".join(["on_exhausted", "pool", *known])
            where = " with pool=True" if pooled else ""
            fail(f"there is no option {', '.join(unknown)}{where}; there are {all_known}")
        return cls(product, way, pooled, options)


# --- where AppIDs come from


class Source:
    """Makes the leases of one wish: those of a client, or of a pool."""

    def __init__(self, client: AppIdClient, wish: Wish, pool: LeasePool | None) -> None:
        self.client = client
        self._wish = wish
        self._pool = pool

    def make(self, timeout: float | None, *, once: bool = False) -> Lease:
        """A lease that was not acquired yet. `once`: with a single try, where that can be said."""
        options = {**self._wish.options, "timeout": timeout}
        if self._pool is not None:
            # None would stand for the timeout of the pool, which is for checkouts in a test.
            options["timeout"] = _LONGEST_WAIT if timeout is None else timeout
            return self._pool.lease(**options)
        if once:
            options["max_retries"] = 0
        return self.client.lease(self._wish.product, **options)

    @property
    def works_offline(self) -> bool:
        """Whether it may have an AppID although the service is down."""
        return self._pool is not None

    def seems_down(self, error: NoAppIdInTime) -> bool:
        """Whether there was no AppID in time because the service gave no answer."""
        if error.available_at is not None:
            return False
        if self._pool is not None and self._pool.get_stats().last_error is not None:
            return True
        return not self.client.health_check()

    def has_tried_enough(self, error: NoAppIdInTime) -> bool:
        """Whether the wish allows no more tries than were made."""
        allowed = self._wish.options.get("max_retries")
        tried = error.attempts if isinstance(error, NoAppIdAvailable) else 0
        return allowed is not None and tried > allowed


class ServiceState:
    """What the tests of this process found out about the service of one client.

    Once a test found it down, further ones fail at once, each after a look whether it answers
    again. A token that was refused stays refused until the end of the run.
    """

    def __init__(self, client: AppIdClient) -> None:
        self._client = client
        self._look: _Look | None = None
        self._not_before = 0.0
        self._refused = False
        self.reason = ""
        """Why the service can't be used; empty while it can, as far as is known."""

    def went_down(self, error: Exception, test: str, took: float) -> None:
        """A test got no AppID because of `error`, after so many seconds."""
        self._not_before = time.monotonic() + (_RARELY * took if self.reason else 0.0)
        self._refused = isinstance(error, AuthenticationError)
        self.reason = f"{type(error).__name__}: {error} (found by {test})"

    def works(self) -> None:
        """A test got an AppID, or heard that there is none."""
        self.reason = ""

    def require_sign_of_life(self) -> None:
        """Fail the test at once, unless the service answers again."""
        if self._refused:
            fail(f"{self.reason}; this run does not ask again with that token")
        if time.monotonic() >= self._not_before:
            patience = 0.0  # the test that began the look has waited
            if self._look is None:
                self._look, patience = _Look(self._client.health_check), _LOOK
            answer = self._look.result(patience)
            if answer is not None:
                self._look = None
            if answer:
                return
        fail(f"{self.reason}; it still does not answer")


class _Look:
    """A call on a thread of its own: a service that hangs must not hold up the tests."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._answer = False
        self._done = threading.Event()
        threading.Thread(target=self._run, name="appid-test-look", daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        finally:
            self._done.set()

    def result(self, seconds: float) -> bool | None:
        """The answer; `None` if there is none within `seconds`."""
        return self._answer if self._done.wait(seconds) else None


_states: weakref.WeakKeyDictionary[AppIdClient, ServiceState] = weakref.WeakKeyDictionary()


# --- getting one


@contextlib.contextmanager
def hold(config: pytest.Config, test: str, source: Source, wish: Wish) -> Iterator[Lease]:
    """Hold an AppID within the block. Fails the test if it gets none, or if it was lost."""
    with contextlib.ExitStack() as stack:
        lease = _Getting(config, test, source, wish, stack).get()
        yield lease
        if lease.lost:
            fail(lost(lease))


def lost(lease: Lease) -> str:
    """What a test hears whose AppID was lost."""
    return (
        f"{lease.appid} of {lease.product_name} was lost while the test ran: "
        "somebody else may have used it"
    )


class _Getting:
    """Gets one AppID for one test. `stack` releases it."""

    def __init__(
        self,
        config: pytest.Config,
        test: str,
        source: Source,
        wish: Wish,
        stack: contextlib.ExitStack,
    ) -> None:
        self._config = config
        self._test = test
        self._source = source
        self._wish = wish
        self._stack = stack
        self._state = _states.setdefault(source.client, ServiceState(source.client))
        self._began = time.monotonic()

    def get(self) -> Lease:
        """A short first try tells whether the service works; only then a test waits for long."""
        was_down = bool(self._state.reason)
        if was_down:
            if self._source.works_offline:
                with contextlib.suppress(NoAppIdInTime):
                    return self._acquire(0.0)
            self._state.require_sign_of_life()
        timeout, way = self._wish.options.get("timeout"), self._wish.on_exhausted
        first = FIRST_TRY if timeout is None else timeout
        if way == "wait":
            first = min(first, FIRST_TRY)
        try:
            return self._acquire(first, once=was_down)
        except NoAppIdInTime as error:
            exhausted = error
        if self._source.seems_down(exhausted):
            self._fail_down(exhausted)
        self._state.works()
        if way == "skip":
            raise pytest.skip.Exception(str(exhausted)) from None
        if way == "fail" or first == timeout or self._source.has_tried_enough(exhausted):
            fail(str(exhausted))
        return self._wait(timeout, exhausted)

    def _wait(self, timeout: float | None, why: NoAppIdInTime) -> Lease:
        left = None if timeout is None else max(0.0, self._began + timeout - time.monotonic())
        showing = waits_of(self._config).showing
        reason = "every AppID is taken"
        with showing(self._wish.product, reason, why.retry_after, why.available_at):
            try:
                return self._acquire(left)
            except NoAppIdInTime as error:
                exhausted = error
        fail(str(exhausted))

    def _acquire(self, timeout: float | None, *, once: bool = False) -> Lease:
        try:
            lease = self._source.make(timeout, once=once)
            self._stack.callback(lease.release)  # before it holds anything: no gap for interrupts
            lease.acquire()
        except NoAppIdInTime:
            raise
        except (TransportError, AuthenticationError) as error:
            self._fail_down(error)
        except (AppIdManagerError, ValueError, TypeError) as error:
            fail_with(error)
        self._state.works()
        return lease

    def _fail_down(self, error: AppIdManagerError) -> NoReturn:
        self._state.went_down(error, self._test, time.monotonic() - self._began)
        fail_with(error)


class Pools:
    """The pools of one run, one for each product. The fixture `appid_pool`."""

    def __init__(self, client: AppIdClient, know: Callable[[str], None]) -> None:
        self.client = client
        self._know = know
        self._pools: dict[str, tuple[LeasePool, dict[str, Any]]] = {}

    def __call__(self, product_name: str, **options: Any) -> LeasePool:
        """The pool of a product. It is made at the first call, with the options of that call.

        The options are those of `AppIdClient.pool`. By default it keeps the AppID of a checkout
        that raised (`on_error="keep"`): tests that fail must not use up the AppIDs of the hour.
        """
        if product_name not in self._pools:
            with in_one_line():
                self._know(product_name)
                made = self.client.pool(product_name, **{"on_error": "keep", **options})
            self._pools[product_name] = made, options
        pool, its_options = self._pools[product_name]
        if options and options != its_options:
            fail(
                f"the pool of {product_name} was made with other options ({its_options}): give "
                "them at its first use, in a fixture of session scope"
            )
        return pool

    def close(self) -> None:
        """Close all pools."""
        with contextlib.ExitStack() as stack:
            for pool, _ in self._pools.values():
                stack.callback(pool.close)


class LocalProducts:
    """Makes each product known to the service of this run, when a test first asks for it."""

    def __init__(self, client: AppIdClient) -> None:
        self.client = client
        self._known: set[str] = set()

    def know(self, product: str) -> None:
        """Give the product AppIDs, unless it has some."""
        if product in self._known:
            return
        try:
            total = self.client.get_status(product)["total"]
        except ProductNotFound:
            total = 0
        if not total:
            appids = {f"{product}-{n}": n for n in range(1, _LOCAL_APPIDS + 1)}
            self.client.init_product(product, appids)
        self._known.add(product)
