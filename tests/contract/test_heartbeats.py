"""Heartbeats against our service: one call for all leases, loss noticed, and no lease revived."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient, Lease, LeaseLost
from appid_manager_client.runtime.time import SystemTime
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.machine import TurnedSystem
from tests.support.ours import OurService
from tests.support.services import AnyService, client_of
from tests.support.waiting import PATIENCE, wait_until


class SkippingTime(SystemTime):
    """The real clock, which a test can turn forward: the keeper's own waits stay real and short."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def service() -> Iterator[OurService]:
    with OurService() as running:
        running.init("p", {"a": 1, "b": 1, "c": 1})
        yield running


def beats(service: AnyService) -> list[list[str]]:
    return [call.body["leaseIds"] for call in service.calls_of("heartbeat")]


def test_one_call_keeps_all_leases_alive_beyond_their_ttl(service: OurService) -> None:
    with client_of(service) as client:
        with client.lease("p", ttl=1) as first, client.lease("p", ttl=600) as second:
            wait_until(lambda: len(beats(service)) >= 5, what="heartbeats for more than a ttl")
            assert first.held and second.held
            assert service.in_use() == ["a", "b"]
    assert all(len(ids) == 2 for ids in beats(service)[1:])


def test_the_service_s_word_that_a_lease_has_ended_marks_it_lost(service: OurService) -> None:
    lost = threading.Event()
    told: list[Lease] = []

    def on_lost(lease: Lease) -> None:
        told.append(lease)
        lost.set()

    with client_of(service) as client:
        with client.lease("p", ttl=1, on_lost=on_lost) as lease:
            service.init("p", {"z": 1})  # forgets everything
            assert lost.wait(PATIENCE)
            assert told == [lease] and lease.lost and not lease.held
            with pytest.raises(LeaseLost, match="has ended"):
                lease.check()
        assert lease.lost, "the end of the block changes nothing"


def test_callbacks_that_take_their_time_hold_up_no_release(service: OurService) -> None:
    service.init("many", {f"m{number}": 1 for number in range(20)})
    started, go_on = threading.Semaphore(0), threading.Event()

    def on_lost(lease: Lease) -> None:
        started.release()
        go_on.wait(3 * PATIENCE)

    with client_of(service) as client:
        lost = [client.lease("many", ttl=1, on_lost=on_lost).acquire() for _ in range(20)]
        service.init("many", {"other": 1})  # forgets everything
        try:
            assert all(started.acquire(timeout=PATIENCE) for _ in lost), "each is told at once"
            assert client.lease("p").acquire().release()
        finally:
            go_on.set()


def test_a_callback_that_never_returns_does_not_hold_up_the_exit(service: OurService) -> None:
    script = """
import sys, threading
from appid_manager_client import AppIdClient
told = threading.Event()
client = AppIdClient(sys.argv[1], 20, auth_token=sys.argv[2] or None)
lease = client.lease("p", ttl=1, on_lost=lambda lease: (told.set(), threading.Event().wait()))
lease.acquire()
client.init_product("p", {"z": 1})
assert told.wait(20)
"""
    command = [sys.executable, "-c", script, service.url, service.auth_token or ""]
    assert subprocess.run(command, timeout=PATIENCE).returncode == 0


def test_a_whole_ttl_without_a_word_marks_a_lease_lost(service: OurService) -> None:
    lost = threading.Event()
    # A heartbeat that hangs is noticed when its own call has timed out.
    with AppIdClient(service.url, 0.5, auth_token=service.auth_token) as client:
        lease = client.lease("p", ttl=1, on_lost=lambda lease: lost.set()).acquire()
        with service.hold("heartbeat", "before"):
            assert lost.wait(PATIENCE)
            with pytest.raises(LeaseLost, match="ttl"):
                lease.check()
        wait_until(lambda: not service.in_use(), what="what may live on is given back")


def test_a_starved_heartbeat_thread_is_noticed_by_check_on_the_user_s_thread(
    service: OurService,
) -> None:
    system = SkippingTime()
    with client_of(service, system=system) as client:
        lease = client.lease("p", ttl=3600).acquire()
        lease.check()
        system.ahead = 3601  # nobody has beaten in all that time
        with service.hold("heartbeat", "before"), pytest.raises(LeaseLost):
            lease.check()
        assert lease.lost


def test_a_heartbeat_in_flight_does_not_revive_a_released_lease(service: OurService) -> None:
    with client_of(service) as client:
        lease = client.lease("p", ttl=1).acquire()
        with service.hold("heartbeat", "after", times=1) as gate:
            gate.wait_reached()
            assert lease.release() is True
        wait_until(lambda: not service.in_use())
        assert lease.released and not lease.lost and not lease.held
        assert client.pending_releases == ()


def test_a_lease_that_was_released_meanwhile_is_not_called_lost(service: OurService) -> None:
    told: list[Lease] = []
    with client_of(service) as client:
        lease = client.lease("p", ttl=1, on_lost=told.append).acquire()
        with service.hold("heartbeat", "before", times=1) as gate:
            gate.wait_reached()
            lease.release()  # so the service will answer the heartbeat with "lost"
        with client.lease("p", ttl=1):
            wait_until(lambda: len(beats(service)) >= 3)
    assert told == [] and lease.released and not lease.lost


def test_a_failed_heartbeat_is_tried_again_before_the_ttl_is_over(service: OurService) -> None:
    with client_of(service) as client, client.lease("p", ttl=2) as lease:
        service.faults.queue("heartbeat", Fault.UNAVAILABLE, times=2)
        wait_until(lambda: len(beats(service)) >= 4)
        assert lease.held


def test_a_legacy_service_and_a_lease_without_ttl_get_no_heartbeats(
    service: OurService, field_service: FieldService
) -> None:
    field_service.init("p", {"a": 1, "b": 1})
    for one, ttl in ((service, None), (field_service, 60.0)):
        system = TurnedSystem()
        with client_of(one, system=system) as client, client.lease("p", ttl=ttl) as lease:
            system.turn(3000)
            with client.lease("p", ttl=ttl):
                pass  # wakes the keeper, which would beat now if ever
            assert lease.held
        assert beats(one) == []
