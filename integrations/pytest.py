"""AppIDs for tests: the marker `appid`, and the fixtures whose names begin with `appid_`.

pytest loads this in every test run where the package is installed, so nothing but pytest is
imported before a test needs an AppID. It puts a lease around a test and into the test's report;
how a lease is acquired and released is for the client.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from appid_manager_client.text import get_logger

if TYPE_CHECKING:
    from appid_manager_client import AppIdClient, Lease, NoAppIdAvailable
    from appid_manager_client.testing import LocalService

logger = get_logger()

LOCAL = "local"
"""As a URL: a `LocalService` of this test run."""

ON_EXHAUSTED = ("wait", "skip", "fail")

FIRST_TRY = 5.0
"""Seconds that a test waits for an AppID before it says so on the terminal."""

_MARKER_HELP = (
    "appid(product, *, on_exhausted=None, timeout=None, min_remaining=0, ...): hold an AppID of "
    "the product while the test runs; the fixture appid_lease has the lease. The options are those "
    "of AppIdClient.lease."
)

_LOCAL_APPIDS = 1000

_notes: pytest.StashKey[str] = pytest.StashKey()
_local_url: pytest.StashKey[str] = pytest.StashKey()
_crashed: pytest.StashKey[bool] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class AppIdMark:
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
        help=f"the AppID service; {LOCAL!r} starts one for this run. "
        "Default: ini appid_url, else APPID_MANAGER_URL.",
    )
    group.addoption(
        "--appid-on-exhausted",
        choices=ON_EXHAUSTED,
        help="when every AppID is taken: wait for the next hour (default), skip the test, "
        "or fail it",
    )
    parser.addini("appid_url", "the AppID service, as --appid-url", default="")
    parser.addini(
        "appid_on_exhausted", "wait, skip or fail, as --appid-on-exhausted", default="wait"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER_HELP)
    if _on_exhausted(config) not in ON_EXHAUSTED:
        ways = ", ".join(ON_EXHAUSTED)
        raise pytest.UsageError(
            f"appid_on_exhausted must be one of {ways}, not {_on_exhausted(config)!r}"
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
    """A `LocalService` for this run: a real AppID service whose clock can be turned.

    It listens on a free port of this machine, and needs the extra `server`. A fixture of this
    name in the project replaces it, to have shorter hours for example.
    """
    with contextlib.ExitStack() as stack:
        with _in_one_line():
            from appid_manager_client.testing import LocalService

            service = stack.enter_context(LocalService())
        yield service


@pytest.fixture(scope="session")
def appid_client(request: pytest.FixtureRequest) -> Iterator[AppIdClient]:
    """The `AppIdClient` that the tests get their AppIDs from, for the service of `--appid-url`.

    It keeps a journal, so that the next run releases what a killed one held. From its first use
    on, SIGTERM ends the run as Ctrl-C does, with everything released. A fixture of this name in
    the project replaces it by a client of your own.
    """
    from appid_manager_client import AppIdClient
    from appid_manager_client.runtime.signals import sigterm_raises

    from ._journal import keep_journal, sweep

    url = _url(request.config)
    local = url == LOCAL
    if local:
        url = request.getfixturevalue("appid_service").url
        request.config.stash[_local_url] = str(url)
    with _in_one_line():
        made = AppIdClient(url)
    # pytest leaves SIGTERM to the system, which ends the process with every AppID still in use.
    with made as client, sigterm_raises(signal.default_int_handler):
        if not local:
            keep_journal(client)
            sweep([client])
        yield client


@pytest.fixture
def appid_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """The lease that the test holds while it runs, of the product that its mark names."""
    mark = _mark(request)
    client: AppIdClient = request.getfixturevalue("appid_client")
    node = request.node
    with contextlib.ExitStack() as stack:
        with _in_one_line():
            lease = _acquire(stack, client, mark, request)
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
                f"{lease.appid} of {lease.product_name} was lost while the test ran: "
                "somebody else may have used it",
                pytrace=False,
            )


def _mark(request: pytest.FixtureRequest) -> AppIdMark:
    from appid_manager_client.decorator.decorator import ClientLeaseOptions
    from appid_manager_client.runtime.identity import MAX_HOLDER

    marker = request.node.get_closest_marker("appid")
    if marker is None:
        _usage(
            "appid_lease needs to know the product: "
            'mark the test with @pytest.mark.appid("PRODUCT")'
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
    options.setdefault("holder", f"pytest {request.node.nodeid}"[:MAX_HOLDER])
    return AppIdMark(product, on_exhausted, options)


def _usage(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


# --- getting an AppID


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Show only the message of an error of ours: its traceback would show only the library."""
    from appid_manager_client import AppIdManagerError

    try:
        yield
    except AppIdManagerError as error:
        pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)


def _acquire(
    stack: contextlib.ExitStack,
    client: AppIdClient,
    mark: AppIdMark,
    request: pytest.FixtureRequest,
) -> Lease:
    """Returns a lease that `stack` releases. A short first try lets a long wait be announced."""
    from appid_manager_client import NoAppIdAvailable, ProductNotFound

    def attempt(**more: Any) -> Lease:
        lease = client.lease(mark.product, **{**mark.options, **more})
        stack.callback(lease.release)  # before it holds anything: no gap for an interrupt
        return lease.acquire()

    timeout = mark.options.get("timeout")
    first = FIRST_TRY if timeout is None else timeout
    if mark.on_exhausted == "wait":
        first = min(first, FIRST_TRY)
    try:
        try:
            return attempt(timeout=first)
        except ProductNotFound:
            if request.config.stash.get(_local_url, None) != client.base_url:
                raise
            appids = {f"{mark.product}-{n}": n for n in range(1, _LOCAL_APPIDS + 1)}
            client.init_product(mark.product, appids, keep_state=True)
            return attempt(timeout=first)
    except NoAppIdAvailable as error:
        if mark.on_exhausted == "skip":
            pytest.skip(str(error))
        if mark.on_exhausted == "fail" or first == timeout:
            pytest.fail(str(error), pytrace=False)
        _announce(request, mark, error)
    try:
        return attempt()
    except NoAppIdAvailable as error:
        pytest.fail(str(error), pytrace=False)


def _announce(request: pytest.FixtureRequest, mark: AppIdMark, error: NoAppIdAvailable) -> None:
    """Say on the terminal that the test waits. A worker of pytest-xdist has only the log."""
    message = f"{request.node.nodeid} waits for an AppID of {mark.product}"
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


# --- collection and reports


def pytest_itemcollected(item: pytest.Item) -> None:
    """Add the fixture to each marked test: it holds an AppID even if it doesn't use the lease.

    As the last fixture: it is set up after all others, and torn down before them.
    """
    names = getattr(item, "fixturenames", None)
    if names is not None and "appid_lease" not in names and item.get_closest_marker("appid"):
        # A new list: all parameters of a test share the old one, and only some may be marked.
        setattr(item, "fixturenames", [*names, "appid_lease"])


def _record(node: Any, properties: dict[str, Any]) -> None:
    """Into the JUnit XML, instead of what an earlier run of the same test left there."""
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
    """A worker of pytest-xdist has ended. One that crashed (`error`) released nothing."""
    if error:
        node.config.stash[_crashed] = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The controlling process of pytest-xdist releases what its killed workers held.

    It doesn't know whether the tests used AppIDs at all. Where there is no journal, no test run
    of this user ever did.
    """
    config = session.config
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    if not config.pluginmanager.has_plugin("dsession") or _url(config) == LOCAL:
        return
    if not config.stash.get(_crashed, False) and not interrupted:
        return
    from appid_manager_client import AppIdClient

    from ._journal import journal_may_exist, keep_journal, sweep

    if journal_may_exist():
        with AppIdClient(_url(config)) as client:
            keep_journal(client)
            sweep([client])
