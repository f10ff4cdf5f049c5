"""Tasks that come back instead of waiting: what they ask of our service's line, and when."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appid_manager_client import AppIdClient, InvalidRequest, NoAppIdAvailable, TransportError
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.waiting import PATIENCE, wait_until

HOUR = 12
"""Seconds. Who waits checks in from 2.4 s to 0.8 s before the turn."""
WINDOW = 2.4


@pytest.fixture
def service() -> Iterator[OurService]:
    """The product "p" has one AppID, which was used in this hour; eight seconds are left of it."""
    with OurService(hour_seconds=HOUR) as running:
        running.init("p", {"a": 1})
        running.local.advance_to_next_hour(-8)
        with AppIdClient(running.url, auth_token=running.auth_token) as client, client.lease("p"):
            pass
        yield running


@pytest.fixture
def client(service: OurService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token) as made:
        yield made


def turned_away(client: AppIdClient, **options: object) -> NoAppIdAvailable:
    """Ask as a task that can come back does, for one second; returns the error."""
    made = client.lease("p", **{"timeout": 1.0, "come_back": 0.0, **options})  # type: ignore
    with pytest.raises(NoAppIdAvailable) as caught:
        made.acquire()
    return caught.value


def again(error: NoAppIdAvailable) -> dict[str, object]:
    return {"ticket": error.ticket, "come_back": error.come_back_at}


def line(service: OurService) -> list[int]:
    return [waiter["place"] for waiter in service.local.line("p")]


def test_a_task_takes_a_place_and_hears_when_to_come_back(service, client):
    asked = len(service.calls_of("acquire"))
    error = turned_away(client)
    turn = service.local.hour.end / 1000
    assert error.waited < 0.9, "it does not wait here"
    assert (error.place, error.waiting) == (1, 1)
    assert error.ticket is not None and error.come_back_at is not None
    assert turn - WINDOW <= error.come_back_at <= turn - 1.5
    assert error.retry_after == pytest.approx(
        error.come_back_at - service.local.now_ms / 1000, abs=0.5
    )
    assert len(service.calls_of("acquire")) - asked == 2, "a look, and a ticket"
    assert line(service) == [1]


def test_who_comes_too_early_is_sent_back_without_asking(service, client):
    error = turned_away(client)
    asked = len(service.calls_of("acquire"))
    early = turned_away(client, **again(error))
    assert again(early) == again(error)
    assert early.retry_after == pytest.approx(error.retry_after, abs=1)
    assert len(service.calls_of("acquire")) == asked


def test_who_is_due_comes_back_and_is_held_over_the_turn(service, client):
    error = turned_away(client)
    turn = service.local.hour.end
    service.local.set_time(round(error.come_back_at * 1000) - 300)
    # Another process: it has its clock from the service.
    with AppIdClient(service.url, auth_token=service.auth_token) as other:
        asked = len(service.calls_of("acquire"))
        with other.lease("p", timeout=1.0, **again(error)) as lease:
            assert turn <= lease.start_time < turn + 500
    shown, held = service.calls_of("acquire")[asked:]
    assert (shown.body["wait"], shown.body["ticket"]) == (0, error.ticket)
    assert held.body["wait"] > WINDOW / 2
    assert line(service) == []


def test_who_is_not_due_leaves_its_worker_until_after_the_turn(service, client):
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.lease("p").acquire)
        wait_until(lambda: line(service) == [1], what="another one stands before it")
        error = turned_away(client)
        assert (error.place, error.waiting) == (2, 2)
        turn = service.local.hour.end / 1000
        service.local.set_time(round(error.come_back_at * 1000))
        asked = len(service.calls_of("acquire"))
        after = turned_away(client, **again(error))
        assert turn < after.come_back_at < turn + 3
        assert after.waited < 0.9
        assert len(service.calls_of("acquire")) - asked <= 2, "it, and the one that is held"
        first.result(PATIENCE).release()
        wait_until(lambda: service.local.now_ms > after.come_back_at * 1000, what="a grace later")
        late = turned_away(client, **again(after))
        assert (late.ticket, late.place) == (error.ticket, 1)
        assert turn + HOUR - WINDOW <= late.come_back_at < turn + HOUR


def test_a_task_comes_in_time_although_little_is_left_when_it_asks_first(service, client):
    service.local.advance_to_next_hour(-1)
    with client.lease("p", timeout=0.5, come_back=0.0) as lease:
        assert lease.start_time % (HOUR * 1000) < 500


def test_a_failure_of_the_service_costs_a_task_no_place(service, client):
    error = turned_away(client)
    service.local.set_time(round(error.come_back_at * 1000))
    service.faults.queue("acquire", Fault.UNAVAILABLE, 99)
    with pytest.raises(TransportError):
        client.lease("p", timeout=0.3, **again(error)).acquire()
    service.faults.clear()
    assert line(service) == [1]
    turn = service.local.hour.end
    with client.lease("p", timeout=1.0, **again(error)) as lease:
        assert turn <= lease.start_time < turn + 500


def test_a_task_that_renews_its_lease_waits_for_it(service, client):
    service.init("p", {"b": 2})
    service.local.advance_to_next_hour(-2)
    turn = service.local.hour.end
    with client.lease("p", timeout=1.0, come_back=0.0) as lease:
        assert lease.start_time < turn
        assert lease.renew(timeout=HOUR)
        assert turn <= lease.start_time < turn + 500
    assert line(service) == []


def test_a_moment_that_no_service_told_is_not_believed(service, client):
    error = turned_away(client)
    service.advance_to_next_hour()
    with client.lease("p", ticket=error.ticket, come_back=1e12, timeout=1.0):
        pass


def test_two_runs_with_one_ticket_never_get_one_lease(service, client):
    service.init("p", {"a": 1, "b": 2})
    service.local.advance_to_next_hour(-8)
    with client.lease("p"), client.lease("p"):
        pass
    error = turned_away(client)
    service.local.set_time(round(error.come_back_at * 1000))

    def run() -> tuple[str, int]:
        carried = again(error)
        while True:
            try:
                with client.lease("p", timeout=HOUR, **carried) as lease:
                    return lease.appid, lease.start_time
            except NoAppIdAvailable as error_again:
                carried = again(error_again)

    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(run) for _ in range(2)]
        appids = {one.result(3 * HOUR)[0] for one in runs}
    assert len(appids) == 2
    assert line(service) == []


def test_a_place_that_was_kept_can_be_given_up(service, client):
    error = turned_away(client)
    client.leave_line("p", error.ticket)
    assert line(service) == []
    client.leave_line("p", error.ticket)  # nothing happens


def test_a_field_service_has_no_line_to_leave_or_to_come_back_to():
    with FieldService() as service:
        service.init("p", {"a": 1})
        with AppIdClient(service.url, auth_token=service.auth_token) as client:
            with client.lease("p"):
                error = turned_away(client)
            assert (error.ticket, error.come_back_at, error.place) == (None, None, None)
            with pytest.raises(InvalidRequest):
                client.leave_line("p", "ticket")


@pytest.mark.parametrize("moment", [-1.0, float("nan"), float("inf"), "soon"])
def test_a_moment_that_is_none_is_refused(client, moment):
    with pytest.raises((ValueError, TypeError), match="come_back"):
        client.lease("p", come_back=moment)
