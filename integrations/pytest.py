"""AppIDs for tests: the marker `appid`, and the fixtures whose names begin with `appid_`.

pytest loads this in every test run where the package is installed, so nothing but pytest is
imported before a test needs an AppID. It puts leases around tests and into their reports. How an
AppID is got for a test stands in `_pytest_leases.py`, how a wait is shown in `_pytest_waits.py`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from ._pytest_waits import end_waits, open_channel, waits_of

if TYPE_CHECKING:
    from appid_manager_client import AppIdClient, Lease
    from appid_manager_client.testing import LocalService

    from ._pytest_leases import LocalProducts, Pools, Source, Wish

LOCAL = "local"
"""As a URL: a `LocalService` of this test run."""

_ON_EXHAUSTED = ("wait", "skip", "fail")

_MARKER_HELP = (
    "appid(product, *, on_exhausted=None, pool=False, timeout=None, min_remaining=0, ...): hold "
    "an AppID of the product while the test runs; the fixture appid_lease has the lease. The "
    "options are those of AppIdClient.lease; with pool=True those of LeasePool.lease."
)

_SHARED: dict[str, type[pytest.Collector]] = {
    "appid_class_lease": pytest.Class,
    "appid_module_lease": pytest.Module,
}
"""Fixtures whose lease serves several tests, and what those have in common."""

_URL_VARIABLE = "APPID_MANAGER_URL"

_held: pytest.StashKey[tuple[Lease, str]] = pytest.StashKey()
"""The lease of a node, and the URL of its service."""

_local: pytest.StashKey[LocalProducts] = pytest.StashKey()
_crashed: pytest.StashKey[bool] = pytest.StashKey()


# --- settings


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("appid", "AppIDs for tests")
    group.addoption(
        "--appid-url",
        metavar="URL",
        help=f"the AppID service; {LOCAL!r} starts one for this run. "
        f"Default: ini appid_url, else {_URL_VARIABLE}.",
    )
    group.addoption(
        "--appid-on-exhausted",
        choices=_ON_EXHAUSTED,
        help="when every AppID is taken: wait for the next hour (default), skip the test, "
        "or fail it",
    )
    parser.addini("appid_url", "the AppID service, as --appid-url", default="")
    parser.addini(
        "appid_on_exhausted", "wait, skip or fail, as --appid-on-exhausted", default="wait"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER_HELP)
    if _on_exhausted(config) not in _ON_EXHAUSTED:
        ways = ", ".join(_ON_EXHAUSTED)
        raise pytest.UsageError(
            f"appid_on_exhausted must be one of {ways}, not {_on_exhausted(config)!r}"
        )
    if config.getoption("appid_url") == "":
        raise pytest.UsageError(f"--appid-url is empty: name the service, or {LOCAL!r}")
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


def _is_named(config: pytest.Config) -> bool:
    """Whether a service was named for this run."""
    return bool(_url(config) or os.environ.get(_URL_VARIABLE))


# --- fixtures


@pytest.fixture(scope="session")
def appid_service() -> Iterator[LocalService]:
    """A `LocalService` for this run: a real AppID service whose clock can be turned.

    It listens on a free port of this machine, and needs the extra `server`. A fixture of this
    name in the project replaces it, to have shorter hours for example.
    """
    from ._pytest_leases import in_one_line

    with in_one_line():
        from appid_manager_client.testing import LocalService

        service = LocalService()
    with service:
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
    from ._pytest_leases import LocalProducts, fail, in_one_line

    config = request.config
    url = _url(config)
    local = url == LOCAL
    if local:
        url = request.getfixturevalue("appid_service").url
    elif not _is_named(config):
        # The client has a built-in address. Nobody who runs tests means that.
        empty = _URL_VARIABLE in os.environ
        fail(
            f"{f'{_URL_VARIABLE} is empty' if empty else 'no AppID service is named'}: pass "
            f"--appid-url=URL or set {_URL_VARIABLE}; --appid-url={LOCAL} starts a service for "
            "this run"
        )
    with in_one_line():
        made = AppIdClient(url, on_event=waits_of(config))
    # pytest leaves SIGTERM to the system, which ends the process with every AppID still in use.
    with made as client, sigterm_raises(signal.default_int_handler):
        if local:
            config.stash[_local] = LocalProducts(client)
        else:
            keep_journal(client)
            sweep([client])
        yield client


@pytest.fixture(scope="session")
def appid_pool(request: pytest.FixtureRequest, appid_client: AppIdClient) -> Iterator[Pools]:
    """`appid_pool("PRODUCT")` returns the run's `LeasePool` of a product.

    Within an hour one AppID of a pool serves many tests, one after the other.
    """
    from ._pytest_leases import Pools

    pools = Pools(appid_client, lambda product: _know(request.config, appid_client, product))
    yield pools
    pools.close()


@pytest.fixture(scope="session")
def appid_lease_factory(
    request: pytest.FixtureRequest,
) -> Callable[..., AbstractContextManager[Lease]]:
    """`with appid_lease_factory("PRODUCT") as lease:` holds an AppID, in a fixture of any scope.

    It takes the options of the mark.
    """
    from ._pytest_leases import Wish, hold

    def factory(*product: str, **options: Any) -> AbstractContextManager[Lease]:
        write = 'appid_lease_factory("PRODUCT", option=...)'
        wish = Wish.read(product, options, _on_exhausted(request.config), write)
        return hold(request.config, "an earlier fixture", _source(request, wish), wish)

    return factory


@pytest.fixture
def appid_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """The lease that the test holds while it runs, of the product that its mark names."""
    yield from _marked_lease(request, "mark the test with @")


@pytest.fixture(scope="class")
def appid_class_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """One lease for all tests of a class, of the product that the mark of the class names."""
    yield from _marked_lease(request, "mark the class with @")


@pytest.fixture(scope="module")
def appid_module_lease(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """One lease for all tests of a module, of the product that the module's mark names."""
    yield from _marked_lease(request, "write in the module: pytestmark = ")


def _marked_lease(request: pytest.FixtureRequest, where: str) -> Iterator[Lease]:
    from appid_manager_client.runtime.identity import holder_running

    from ._pytest_leases import Wish, fail, hold

    node = request.node
    mark = node.get_closest_marker("appid")
    if mark is None:
        fail(
            f"{request.fixturename} needs to know the product: "
            f'{where}pytest.mark.appid("PRODUCT")'
        )
    wish = Wish.read(mark.args, mark.kwargs, _on_exhausted(request.config))
    if not wish.pooled:
        wish.options.setdefault("holder", holder_running(node.nodeid))
    source = _source(request, wish)
    with hold(request.config, node.nodeid, source, wish) as lease:
        node.stash[_held] = lease, source.client.base_url
        yield lease


def _source(request: pytest.FixtureRequest, wish: Wish) -> Source:
    from ._pytest_leases import Source, in_one_line

    pool = None
    if wish.pooled:
        pools: Pools = request.getfixturevalue("appid_pool")
        client, pool = pools.client, pools(wish.product)
    else:
        client = request.getfixturevalue("appid_client")
        with in_one_line():
            _know(request.config, client, wish.product)
    return Source(client, wish, pool)


def _know(config: pytest.Config, client: AppIdClient, product: str) -> None:
    """Have the run's own service know the product."""
    local = config.stash.get(_local, None)
    if local is not None and local.client.base_url == client.base_url:
        local.know(product)


# --- collection and reports


def pytest_itemcollected(item: pytest.Item) -> None:
    """Add the fixture to each marked test: it holds an AppID even if it doesn't use the lease.

    As the last fixture: it is set up after all others, and torn down before them.
    """
    names = getattr(item, "fixturenames", None)
    if names is not None and "appid_lease" not in names and _needs_its_own(item, names):
        # A new list: all parameters of a test share the old one, and only some may be marked.
        setattr(item, "fixturenames", [*names, "appid_lease"])


def _needs_its_own(item: pytest.Item, names: list[str]) -> bool:
    """Whether a mark asks for an AppID that no shared lease of the test stands for."""
    found = next(item.iter_markers_with_node("appid"), None)
    if found is None:
        return False
    marked, _ = found
    return not any(
        name in names and marked in _sharing(item, kind).listchain()
        for name, kind in _SHARED.items()
    )


def _sharing(item: pytest.Item, kind: type[pytest.Collector]) -> pytest.Item | pytest.Collector:
    """The node for which a shared fixture of the test is set up. A function can have no class."""
    return item.getparent(kind) or item


def _leases(item: pytest.Item) -> Iterator[tuple[Lease, str]]:
    """The leases that a test has, its own last, each with the URL of its service."""
    names = getattr(item, "fixturenames", ())
    nodes = [_sharing(item, kind) for name, kind in _SHARED.items() if name in names]
    for node in (*nodes, item):
        held = node.stash.get(_held, None)
        if held is not None:
            yield held


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    end_waits(item.config)
    notes = []
    for lease, service in _leases(item):
        properties = {
            "appid": lease.appid,
            "appid_vid": lease.vid,
            "appid_product": lease.product_name,
        }
        # Into the JUnit XML, instead of what an earlier run of the same test left there.
        kept = [entry for entry in item.user_properties if entry[0] not in properties]
        item.user_properties[:] = [*kept, *properties.items()]
        note = f"{lease.appid} (vid {lease.vid}) of {lease.product_name} at {service}"
        notes.append(f"{note}\nlost while the test ran" if lease.lost else note)
    report = yield
    if notes and report.failed:
        report.sections.append(("AppID", "\n".join(notes)))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Fail each test that used a shared lease after it was lost, not only the last one."""
    gone = [lease for lease, _ in _leases(item) if lease.lost]
    yield
    if gone:
        from ._pytest_leases import fail, lost

        fail(lost(gone[-1]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is about to start. It has no terminal: its waits are shown here."""
    if _is_named(node.config):
        open_channel(node)


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
    end_waits(config)
    url = _url(config)
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    if not config.pluginmanager.has_plugin("dsession") or url == LOCAL:
        return
    if not config.stash.get(_crashed, False) and not interrupted:
        return
    if not _is_named(config):
        return
    from appid_manager_client import AppIdClient, ConfigurationError

    from ._journal import journal_may_exist, keep_journal, sweep

    if not journal_may_exist():
        return
    try:
        client = AppIdClient(url)
    except ConfigurationError:  # then no worker could use the service either
        return
    with client:
        keep_journal(client)
        sweep([client])
