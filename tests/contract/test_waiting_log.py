"""No wait for an AppID is silent: who waits, until when and why, once as long as it is the same."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from appid_manager_client import AppIdClient, NoAppIdAvailable
from appid_manager_client.errors import AppIdManagerError
from appid_manager_client.testing import LocalService
from tests.support.faults import Fault
from tests.support.machine import TurnedSystem
from tests.support.services import AnyService, client_of, use_up
from tests.support.waiting import PATIENCE, wait_until

LOGGER = "appid_manager_client.waiting"
UNTIL = re.compile(r"waiting (\d+) s for an AppID of p, until (\d\d:\d\d:\d\d) UTC: (.+)")


Said = Callable[[int], list[str]]
"""Called with a level. Returns what was logged about waits at that level."""


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.DEBUG, LOGGER)
    return lambda level: [
        one.getMessage() for one in caplog.records if (one.name, one.levelno) == (LOGGER, level)
    ]


async def in_a_coroutine(client: AppIdClient) -> None:
    async with client.lease("p"):
        pass


WAYS: dict[str, Callable[[AppIdClient], object]] = {
    "acquire_appid": lambda client: client.acquire_appid("p"),
    "lease": lambda client: client.lease("p").acquire().release(),
    "coroutine": lambda client: asyncio.run(in_a_coroutine(client)),
}


@pytest.mark.parametrize("acquire", WAYS.values(), ids=WAYS)
def test_a_wait_of_minutes_is_one_warning(
    service: AnyService,
    client: AppIdClient,
    said: Said,
    acquire: Callable[[AppIdClient], object],
) -> None:
    use_up(client)
    left = service.hour_end() - service.now()
    turn = f"{service.hour_end() % 86400 // 3600:02.0f}:"
    acquire(client)
    (warning,) = said(logging.WARNING)
    found = UNTIL.fullmatch(warning)
    assert found, warning
    assert int(found[1]) == pytest.approx(left, abs=3)
    assert found[2].startswith(turn) or service.is_legacy
    assert "used up" in found[3] or "in use" in found[3]


def test_a_wait_of_seconds_is_an_info(service: AnyService, client: AppIdClient, said: Said) -> None:
    service.advance_to_next_hour(-7)
    use_up(client)
    client.acquire_appid("p")
    assert said(logging.WARNING) == []
    assert len(said(logging.INFO)) == 1


@pytest.mark.usefixtures("service")
def test_renewing_waits_for_the_next_hour_and_says_so(client: AppIdClient, said: Said) -> None:
    with client.lease("p") as lease:
        lease.renew()
    (warning,) = said(logging.WARNING)
    assert warning.endswith("the hour has not turned yet")


def test_short_pauses_that_add_up_are_a_warning_once(
    service: AnyService, client: AppIdClient, said: Said
) -> None:
    service.faults.queue("acquire", Fault.INTERNAL_ERROR, times=20)
    client.acquire_appid("p", retry_interval=3)
    assert len(said(logging.INFO)) == 1
    (warning,) = said(logging.WARNING)
    assert re.search(r"next try in \d\.\d s, at \d\d:\d\d:\d\d UTC: .*500", warning)


def test_a_wait_is_said_again_when_its_reason_or_its_end_changes(
    service: AnyService, said: Said
) -> None:
    with client_of(service) as other:
        held = other.acquire_appid("p")

        def after_a_while(seconds: float) -> None:
            if service.now() > end and service.in_use("p"):
                other.release_appid(held.appid, "p")  # too late: it is burned for this hour, too

        end = service.hour_end() + 30
        system = TurnedSystem(followers=(service.advance, after_a_while))
        with client_of(service, system=system) as waiting:
            with pytest.raises(NoAppIdAvailable):
                waiting.acquire_appid("p")
    first, turned, burned = said(logging.WARNING)
    assert first.endswith("every AppID is in use")
    assert turned.endswith("every AppID is in use")
    assert burned.endswith("every AppID is used up for this hour")


def test_a_call_without_an_answer_is_a_wait(
    service: AnyService, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.lease.acquirer.LONG_WAIT", 0.3)
    monkeypatch.setattr("appid_manager_client.lease.waitlog.LONG_WAIT", 0.3)
    with client_of(service) as client:
        with service.hold("acquire"):
            waiting = in_background(lambda: client.acquire_appid("p"))
            wait_until(lambda: said(logging.WARNING))
        waiting.join(PATIENCE)
    (warning,) = said(logging.WARNING)
    assert warning.endswith(f"{service.url} has not answered yet")


def in_background(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except AppIdManagerError:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("in_coroutine", [False, True], ids=["thread", "coroutine"])
def test_a_pool_says_that_it_waits_for_the_turn(
    service: AnyService, said: Said, in_coroutine: bool
) -> None:
    with client_of(service) as client:
        use_up(client)
        with client.pool("p", timeout=None) as pool:
            lease = pool.lease()
            waiting = in_background(
                (lambda: asyncio.run(lease.acquire_async())) if in_coroutine else lease.acquire
            )
            wait_until(lambda: said(logging.WARNING))
            pool.close()
            waiting.join(PATIENCE)
    (warning,) = said(logging.WARNING)
    found = UNTIL.fullmatch(warning)
    assert found and int(found[1]) > 2900, warning
    assert found[3].startswith("the service has no AppID left in this hour")


def test_a_pool_says_that_it_waits_for_others(
    service: AnyService, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.pool.lender.LONG_WAIT", 1.0)
    monkeypatch.setattr("appid_manager_client.lease.waitlog.LONG_WAIT", 1.0)
    with client_of(service) as client, client.pool("p", max_size=1, timeout=20) as pool:
        with pool.lease():
            waiting = in_background(lambda: pool.lease().acquire().release())
            wait_until(lambda: said(logging.WARNING))
        waiting.join(PATIENCE)
    (warning,) = said(logging.WARNING)
    assert re.fullmatch(
        r"waiting for an AppID of p for 1 s by now, for at most 19 s more, until [\d:]{8} UTC: "
        "all AppIDs of the pool are checked out, and none is idle",
        warning,
    )


def test_a_pool_that_serves_at_once_says_nothing(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    with client_of(service) as client, client.pool("p") as pool, pool.lease():
        pass
    assert [one for one in caplog.records if one.name == LOGGER] == []


def test_a_grant_is_a_detail_as_its_release_is(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "appid_manager_client")
    service.init("p", {"a": 1, "b": 2})
    with client_of(service) as client:
        with client.lease("p"), client.pool("p") as pool, pool.lease():
            pass
    details = [one.getMessage() for one in caplog.records if one.levelno == logging.DEBUG]
    for appid in ("a", "b"):
        for what in ("acquired", "released"):
            assert any(one.startswith(f"{what} AppID {appid} (product p)") for one in details)


PROGRAM = """
import sys
from appid_manager_client import AppIdClient
client = AppIdClient(sys.argv[1])
with client.lease("p") as lease: pass
with client.lease("p") as lease: pass
"""


def test_a_program_that_has_not_configured_logging_sees_it() -> None:
    """As a new user's program: it hung for half an hour in silence."""
    with LocalService() as service:
        with AppIdClient(service.url) as client:
            client.init_product("p", {"a": 1})
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, service.url], stderr=subprocess.PIPE, text=True
        )
        try:
            assert program.stderr is not None
            line = program.stderr.readline().rstrip("\n")
        finally:
            program.kill()
            program.communicate()
    assert UNTIL.fullmatch(line), line
