"""Waiting in line on our service, in real time: the order, who leaves, and a place that is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appid_manager_client import AppIdClient, ClientClosed, EventKind, NoAppIdAvailable
from appid_manager_client.lease import place
from tests.support.ours import OurService
from tests.support.waiting import PATIENCE, wait_until

HOUR = 3
BEFORE = 1.2
"""Seconds before the turn at which a test begins: a moment before those who wait check in."""


@pytest.fixture
def service() -> Iterator[OurService]:
    """The product "p" has one AppID, which was used in this hour."""
    with OurService(hour_seconds=HOUR) as running:
        running.init("p", {"a": 1})
        yield running


@pytest.fixture
def client(service: OurService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token) as made:
        yield made


def use_up(client: AppIdClient, service: OurService) -> None:
    """Use the AppID, just before the turn."""
    service.local.advance_to_next_hour(-BEFORE)
    with client.lease("p"):
        pass


def line(service: OurService) -> list[int]:
    return [waiter["place"] for waiter in service.local.line("p")]


def test_threads_and_coroutines_are_served_in_the_order_in_which_they_came(service, client):
    service.init("p", {"a": 1, "b": 2})
    use_up(client, service)
    served = []

    def on_a_thread(number: int) -> None:
        with client.lease("p"):
            served.append(number)

    async def in_a_coroutine(number: int) -> None:
        async with client.lease("p"):
            served.append(number)

    with ThreadPoolExecutor(5) as threads:
        waiting = []
        for number in range(5):
            if number % 2:
                waiting.append(threads.submit(on_a_thread, number))
            else:
                waiting.append(threads.submit(asyncio.run, in_a_coroutine(number)))
            # The first one gets the AppID that was not used yet.
            wait_until(lambda: len(line(service)) + len(served) > number, what="it stands in line")
        for one in waiting:
            one.result(5 * HOUR)
    assert [served[0], set(served[1:3]), set(served[3:])] == [0, {1, 2}, {3, 4}]
    assert line(service) == []


def test_a_waiter_asks_three_times_and_is_held_over_the_turn(service, client):
    use_up(client, service)
    asked = len(service.calls_of("acquire"))
    turn = service.local.hour.end / 1000
    with client.lease("p") as lease:
        assert turn <= lease.start_time / 1000 < turn + 1
    look, draw, held = service.calls_of("acquire")[asked:]
    assert look.time <= draw.time < held.time < turn


def test_the_place_is_told_to_the_hook(service):
    told = []
    with AppIdClient(service.url, auth_token=service.auth_token, on_event=told.append) as client:
        use_up(client, service)
        with client.lease("p"):
            pass
    reasons = [event.reason for event in told if event.kind is EventKind.WAITING]
    assert reasons == ["every AppID is used up for this hour, 1st of 1 in line"]


def test_a_wait_that_does_not_reach_the_turn_takes_no_place(service, client):
    use_up(client, service)
    for timeout in (0, 0.2):
        with pytest.raises(NoAppIdAvailable):
            client.lease("p", timeout=timeout).acquire()
    with pytest.raises(NoAppIdAvailable):
        client.lease("p", max_retries=1, retry_interval=0.1).acquire()
    assert line(service) == []


def test_a_wait_that_ends_leaves_the_line(service, client):
    use_up(client, service)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.lease("p").acquire)
        wait_until(lambda: line(service) == [1], what="the first one stands in line")
        with pytest.raises(NoAppIdAvailable) as caught:
            client.lease("p", timeout=BEFORE + 1).acquire()
        assert caught.value.ticket is None
        first.result(PATIENCE).release()
    wait_until(lambda: line(service) == [], what="the second one has left")


def test_a_place_can_be_kept_for_another_wait(service, client):
    use_up(client, service)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.lease("p").acquire)
        wait_until(lambda: line(service) == [1], what="the first one stands in line")
        with pytest.raises(NoAppIdAvailable) as caught:
            client.lease("p", timeout=BEFORE + 1, keep_place=True).acquire()
        ticket = caught.value.ticket
        assert ticket is not None
        first.result(PATIENCE).release()
        third = threads.submit(client.lease("p", timeout=BEFORE + HOUR + 1).acquire)
        wait_until(lambda: line(service) == [1, 2], what="a third one stands behind it")
        turn = service.local.hour.end
        kept = client.lease("p", ticket=ticket).acquire()
        assert turn <= kept.start_time < turn + 1000
        kept.release()
        with pytest.raises(NoAppIdAvailable):
            third.result(PATIENCE)


def test_a_task_that_is_cancelled_while_it_is_held_leaves_at_once(service, client):
    use_up(client, service)

    async def wait_and_cancel() -> float:
        task = asyncio.ensure_future(client.lease("p").acquire_async())
        asked = len(service.calls_of("acquire"))
        await asyncio.to_thread(
            wait_until, lambda: len(service.calls_of("acquire")) >= asked + 3, what="it is held"
        )
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(wait_and_cancel()) < 0.5
    wait_until(lambda: line(service) == [], timeout=2, what="it has left")
    assert service.local.history("p")[0]["ended"] == "released"


def test_closing_the_client_ends_those_who_are_held(service, client):
    use_up(client, service)
    failures = []

    def wait() -> None:
        try:
            client.lease("p").acquire()
        except Exception as error:
            failures.append(error)

    asked = len(service.calls_of("acquire"))
    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: len(service.calls_of("acquire")) >= asked + 3, what="it is held")
    client.close()
    waiter.join(2)
    assert not waiter.is_alive()
    assert [type(error) for error in failures] == [ClientClosed]
    assert line(service) == []


def test_who_finds_no_room_to_be_held_comes_late_and_keeps_its_place(service, client, monkeypatch):
    monkeypatch.setattr("appid_manager_client.lease.steps.HOLDING_ROOM", place.HoldingRoom(0))
    use_up(client, service)
    asked = len(service.calls_of("acquire"))
    turn = service.local.hour.end / 1000
    with client.lease("p"):
        pass
    look, draw, late = service.calls_of("acquire")[asked:]
    assert turn <= late.time < turn + 1


def test_a_line_that_is_full_is_waited_out_as_before(service, client, monkeypatch):
    monkeypatch.setattr("appid_manager_client.server.store.in_line.MOST_TICKETS", 0)
    use_up(client, service)
    turn = service.local.hour.end / 1000
    with client.lease("p") as lease:
        assert turn <= lease.start_time / 1000 < turn + 1


def test_who_waits_with_force_is_woken_by_a_release(service, client):
    client.acquire_appid("p")
    with ThreadPoolExecutor(1) as threads:
        forced = threads.submit(client.acquire_appid, "p", force=True)
        wait_until(lambda: line(service) == [1], what="it stands in line")
        assert not forced.done()
        client.release_appid("a", "p")
        assert forced.result(2).appid == "a"


def test_a_renewal_takes_its_place_at_the_end_of_the_line(service, client):
    use_up(client, service)
    client.init_product("p", {"a": 1, "b": 2}, keep_state=True)
    served = []

    def wait(name: str) -> None:
        with client.lease("p"):
            served.append(name)

    with ThreadPoolExecutor(2) as threads, client.lease("p") as lease:
        first = threads.submit(wait, "first")
        wait_until(lambda: line(service) == [1], what="the first one stands in line")
        client.init_product("p", {"b": 2}, keep_state=True)
        renewal = threads.submit(lease.renew)
        wait_until(lambda: line(service) == [1, 2], what="the renewal stands behind it")
        asked = len(service.calls_of("acquire"))
        turn = service.local.hour.end
        first.result(2 * HOUR)
        assert renewal.result(2 * HOUR) is True
        assert turn + HOUR * 1000 <= lease.start_time < turn + (HOUR + 1) * 1000
        # The first one is held once; the renewal is held over both turns.
        assert len(service.calls_of("acquire")) - asked <= 4
    assert served == ["first"]


def test_a_renewal_without_any_polls_is_held_over_the_turn(service, client):
    service.local.advance_to_next_hour(-BEFORE)
    with client.lease("p", max_retries=0, retry_interval=0.05) as lease:
        asked = len(service.calls_of("acquire"))
        turn = service.local.hour.end
        assert lease.renew(timeout=HOUR)
        draw, held = service.calls_of("acquire")[asked:]
        assert draw.time <= held.time < turn / 1000 <= lease.start_time / 1000 < turn / 1000 + 1
