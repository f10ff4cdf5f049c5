"""AppIDs for tests: the marker `appid`, and the fixtures `appid_lease`, `appid_client` and `appid_service`.

Loaded in every test run where the package is installed, so nothing but pytest is imported until a test wants an AppID.
How a lease is got and given back is the client's business; here it is put around a test and into its report.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from appid_manager_client import AppIdClient, Lease, NoAppIdAvailable
    from appid_manager_client.testing import LocalService

logger = logging.getLogger("appid_manager_client")

LOCAL = "local"
"""As a URL: a `LocalService` of this test run."""

ON_EXHAUSTED = ("wait", "skip", "fail")

_MARKER_HELP = (
    "appid(product, *, on_exhausted=None, timeout=None, min_remaining=0, ...): hold an AppID of the product while the "
    "test runs; the fixture appid_lease gives it. The options are those of AppIdClient.lease."
)

# Seconds for the first try, of whose wait nobody is told; failed connections are tried again meanwhile.
_FIRST_TRY = 5.0

_LOCAL_APPIDS = 1000
_HOLDER_LENGTH = 200

_notes: pytest.StashKey[str] = pytest.StashKey()
_local_url: pytest.StashKey[str] = pytest.StashKey()
_crashed: pytest.StashKey[bool] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a test's marker asks for."""

    product: str
    on_exhausted: str
    options: dict[str, Any]


# --- settings


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("appid", "AppIDs for tests")
    group.addoption(
        "--appid-url",
        metavar="URL",
        help=f"the AppID service; {LOCAL!r} starts one for this run. Default: ini appid_url, else APPID_MANAGER_URL.",
    )
    group.addoption(
        "--appid-on-exhausted",
        choices=ON_EXHAUSTED,
        help="when every AppID is taken: wait for the next hour (default), skip the test, or fail it",
    )
    parser.addini("appid_url", "the AppID service, as --appid-url", default="")
    parser.addini(
        "appid_on_exhausted", "wait, skip or fail, as --appid-on-exhausted", default="wait"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER_HELP)
    if _on_exhausted(config) not in ON_EXHAUSTED:
        raise pytest.UsageError(
            f"appid_on_exhausted must be one of {', '.join(ON_EXHAUSTED)}, not {_on_exhausted(config)!r}"
        )
    url = _url(config)
    if url not in (None, LOCAL):
        from appid_manager_client.config import check_url

        try:
            check_url(url, "--appid-url" if config.getoption("appid_url") else "appid_url")
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None


def _on_exhausted(config: pytest.Config) -> str:
    return str(config.getoption("appid_on_exhausted") or config.getini("appid_on_exhausted"))


def _url(config: pytest.Config) -> str | None:
    return config.getoption("appid_url") or config.getini("appid_url") or None


# --- fixtures


@pytest.fixture(scope="session")
def appid_service() -> Iterator[LocalService]:
    """A `LocalService` for this run: a real AppID service on a free port, with a clock that can be turned.

    Needs the extra `server`. Make a fixture of this name to have it otherwise, with shorter hours for example.
    """
    with contextlib.ExitStack() as stack:
        with _in_one_line():
            from appid_manager_client.testing import LocalService

            service = stack.enter_context(LocalService())
        yield service


@pytest.fixture(scope="session")
def appid_client(request: pytest.FixtureRequest) -> Iterator[AppIdClient]:
    """The `AppIdClient` from which the tests have their AppIDs, for the service of `--appid-url`.

    It keeps a journal, so that the next run gives back what a killed one held, and while it is there SIGTERM ends the
    run as Ctrl-C does, with everything given back. Make a fixture of this name to use a client of your own.
    """
    from appid_manager_client import AppIdClient

    url = _url(request.config)
    local = url == LOCAL
    if local:
        url = request.getfixturevalue("appid_service").url
        request.config.stash[_local_url] = str(url)
    with _in_one_line():
        made = AppIdClient(url)
    with made as client, _terminated_like_interrupted():
        if not local:
            _keep_journal(client)
            _reap(client)
        yield client


@pytest.fixture
def appid_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """The lease whose AppID the test holds while it runs, of the product that `@pytest.mark.appid("product")` names."""
    wish = _wish(request)
    client: AppIdClient = request.getfixturevalue("appid_client")
    node = request.node
    with contextlib.ExitStack() as stack:
        with _in_one_line():
            lease = _acquire(stack, client, wish, request)
        properties = {
            "appid": lease.appid,
            "appid_vid": lease.vid,
            "appid_product": lease.product_name,
        }
        _record(node, properties)
        node.stash[_notes] = (
            f"{lease.appid} (vid {lease.vid}) of {lease.product_name} at {client.base_url}"
        )
        yield lease
        if lease.lost:
            node.stash[_notes] += "\nlost while the test ran"
            pytest.fail(
                f"{lease.appid} of {lease.product_name} was lost while the test ran: somebody else may have used it",
                pytrace=False,
            )


def _wish(request: pytest.FixtureRequest) -> Wish:
    from appid_manager_client.decorator.decorator import ClientLeaseOptions

    marker = request.node.get_closest_marker("appid")
    if marker is None:
        _usage(
            'appid_lease needs to know the product: mark the test with @pytest.mark.appid("PRODUCT")'
        )
    options = dict(marker.kwargs)
    product = options.pop("product", None) if not marker.args else marker.args[0]
    if not isinstance(product, str) or not product.strip() or len(marker.args) > 1:
        _usage('the marker takes the product\'s name: @pytest.mark.appid("PRODUCT", option=...)')
    on_exhausted = options.pop("on_exhausted", None) or _on_exhausted(request.config)
    if on_exhausted not in ON_EXHAUSTED:
        _usage(f"on_exhausted must be one of {', '.join(ON_EXHAUSTED)}, not {on_exhausted!r}")
    unknown = sorted(options.keys() - ClientLeaseOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(["on_exhausted", *ClientLeaseOptions.__annotations__])
        _usage(f"the marker appid has no option {', '.join(unknown)}; it has {known}")
    options.setdefault("holder", f"pytest {request.node.nodeid}"[:_HOLDER_LENGTH])
    return Wish(product, on_exhausted, options)


def _usage(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


# --- getting an AppID


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """What an error of ours says is all that there is to see: its traceback would show only the library."""
    from appid_manager_client import AppIdManagerError

    try:
        yield
    except AppIdManagerError as error:
        pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)


def _acquire(
    stack: contextlib.ExitStack, client: AppIdClient, wish: Wish, request: pytest.FixtureRequest
) -> Lease:
    """A lease that `stack` gives back. Tries without a wait first, so that a wait can be announced."""
    from appid_manager_client import NoAppIdAvailable, ProductNotFound

    def attempt(**more: Any) -> Lease:
        lease = client.lease(wish.product, **{**wish.options, **more})
        stack.callback(lease.release)  # before it holds anything: no gap for an interrupt
        return lease.acquire()

    timeout = wish.options.get("timeout")
    first = _FIRST_TRY if timeout is None else timeout
    if wish.on_exhausted == "wait":
        first = min(first, _FIRST_TRY)
    try:
        try:
            return attempt(timeout=first)
        except ProductNotFound:
            if request.config.stash.get(_local_url, None) != client.base_url:
                raise
            appids = {f"{wish.product}-{n}": n for n in range(1, _LOCAL_APPIDS + 1)}
            client.init_product(wish.product, appids)
            return attempt(timeout=first)
    except NoAppIdAvailable as error:
        if wish.on_exhausted == "skip":
            pytest.skip(str(error))
        if wish.on_exhausted == "fail" or first == timeout:
            pytest.fail(str(error), pytrace=False)
        _announce(request, wish, error)
    try:
        return attempt()
    except NoAppIdAvailable as error:
        pytest.fail(str(error), pytrace=False)


def _announce(request: pytest.FixtureRequest, wish: Wish, error: NoAppIdAvailable) -> None:
    """Say on the terminal why nothing moves; under pytest-xdist, where a worker has none, in the log only."""
    message = f"{request.node.nodeid} waits for an AppID of {wish.product}"
    if error.retry_after is not None:
        message += f", for about {error.retry_after:.0f} s"
    logger.info("%s", message)
    plugins = request.config.pluginmanager
    reporter = plugins.get_plugin("terminalreporter")
    capture = plugins.get_plugin("capturemanager")
    if reporter is None:
        return
    with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(message, yellow=True)


def _keep_journal(client: AppIdClient) -> None:
    from appid_manager_client import ConfigurationError

    if client.journal is not None or os.environ.get("APPID_MANAGER_JOURNAL"):
        return  # as it was configured, which may be "no"
    try:
        client.use_journal()
    except ConfigurationError as error:
        logger.warning("no journal, so what a killed test run held can't be given back: %s", error)


def _reap(client: AppIdClient) -> None:
    """Give back what killed runs held. A service that can't be asked now is asked by the next run."""
    from appid_manager_client import AppIdManagerError

    if client.journal is None:
        return
    try:
        client.reap()
    except AppIdManagerError as error:
        logger.warning("could not give back what killed test runs may have held: %s", error)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """pytest leaves SIGTERM to the system, which ends the process with every AppID still in use."""
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# --- collection and reports


def pytest_itemcollected(item: pytest.Item) -> None:
    """A marked test holds an AppID also where it doesn't ask for the lease; it is got last, and given back first."""
    names = getattr(item, "fixturenames", None)
    if names is not None and "appid_lease" not in names and item.get_closest_marker("appid"):
        # A list of its own: all parameters of one test share the first one, and a mark may be on one of them.
        setattr(item, "fixturenames", [*names, "appid_lease"])


def _record(node: Any, properties: dict[str, Any]) -> None:
    """Into the JUnit XML, in place of what an earlier run of the same test left there."""
    kept = [entry for entry in node.user_properties if entry[0] not in properties]
    node.user_properties[:] = [*kept, *properties.items()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    note = item.stash.get(_notes, None)
    if note is not None and report.failed:
        report.sections.append(("AppID", note))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of pytest-xdist has ended; with an error, it crashed, and gave nothing back."""
    if error:
        node.config.stash[_crashed] = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Once its workers are gone, the controlling process of pytest-xdist gives back what killed ones held.

    It doesn't know whether the tests used AppIDs at all; where there is no journal, none of this user's ever did.
    """
    config = session.config
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    if not config.pluginmanager.has_plugin("dsession") or _url(config) == LOCAL:
        return
    if not (config.stash.get(_crashed, False) or interrupted) or not _journal_exists():
        return
    from appid_manager_client import AppIdClient

    with AppIdClient(_url(config)) as client:
        _keep_journal(client)
        _reap(client)


def _journal_exists() -> bool:
    from appid_manager_client import ConfigurationError
    from appid_manager_client.journal.journal import default_directory

    try:
        return bool(os.environ.get("APPID_MANAGER_JOURNAL")) or default_directory().is_dir()
    except (ConfigurationError, OSError):
        return False
