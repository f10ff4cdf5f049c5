"""Leases against both kinds of service: given back exactly once, and never silently lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from appid_manager_client import (
    AppIdClient,
    ClientClosed,
    Event,
    EventKind,
    Lease,
    LeaseInUse,
    LeaseLost,
    LeaseNotHeld,
    NoAppIdAvailable,
)
from appid_manager_client.runtime.identity import default_holder
from tests.support.faults import Fault
from tests.support.interrupts import Interrupt, Interrupter
from tests.support.services import AnyService, client_of, hasty_client, turned_client
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def client(service: AnyService) -> Iterator[AppIdClient]:
    with hasty_client(service) as made:
        yield made


def releases(service: AnyService) -> int:
    return len(service.calls_of("release"))


# What a lease is


def test_a_lease_tells_what_it_holds(service: AnyService, client: AppIdClient) -> None:
    with client.lease("p", holder="me") as lease:
        assert (lease.appid, lease.vid, lease.product_name) == ("a", 1, "p")
        assert lease.start_time == service.grants[0].starttime
        assert lease.held and not lease.released and not lease.lost
        assert lease.hour_end == pytest.approx(service.hour_end())
        assert 2900 < lease.remaining <= 3000
        lease.check()
        assert "'p'" in repr(lease) and "held" in repr(lease)
        assert service.in_use() == ["a"]
    assert service.in_use() == []
    assert lease.released and not lease.held and not lease.lost
    assert lease.appid == "a", "for logs"
    with pytest.raises(LeaseLost, match="it was given back"):
        lease.check()


def test_whoever_names_no_holder_is_named_by_the_process(
    service: AnyService, client: AppIdClient
) -> None:
    service.init("p", {"a": 1, "b": 2, "c": 3})
    with client.lease("p"), client.pool("p") as pool, pool.lease():
        client.acquire_appid("p")
    holders = [call.body["holder"] for call in service.calls_of("acquire")]
    assert holders == [default_holder()] * 3


def test_a_lease_that_was_not_acquired_holds_nothing(client: AppIdClient) -> None:
    lease = client.lease("p")
    for read in ("appid", "vid", "start_time", "hour_end", "remaining"):
        with pytest.raises(LeaseNotHeld):
            getattr(lease, read)
    with pytest.raises(LeaseNotHeld):
        lease.check()
    assert lease.release() is False
    assert not lease.held and not lease.lost and not lease.released


def test_a_lease_serves_one_block_at_a_time_and_another_one_later(
    service: AnyService, client: AppIdClient
) -> None:
    service.init("p", {"a": 1, "b": 2})
    lease = client.lease("p")
    with lease:
        with pytest.raises(LeaseInUse):
            lease.acquire()
        assert lease.appid == "a"
    with lease:
        assert lease.appid == "b"


def test_a_block_is_not_entered_without_an_appid(service: AnyService, client: AppIdClient) -> None:
    with client.lease("p"):
        with pytest.raises(NoAppIdAvailable):
            with client.lease("p", timeout=1):
                pytest.fail("entered without an AppID")
    assert service.in_use() == []
    assert releases(service) == 1


# Given back exactly once


@pytest.mark.parametrize(
    "kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_every_exception_gives_the_appid_back_and_comes_out_as_it_is(
    kind: type[BaseException], service: AnyService, client: AppIdClient
) -> None:
    error = kind("the body's own")
    with pytest.raises(kind) as caught:
        with client.lease("p"):
            raise error
    assert caught.value is error and error.__context__ is None
    assert service.in_use() == [] and releases(service) == 1


def test_a_return_and_a_generator_that_is_closed_give_it_back(
    service: AnyService, client: AppIdClient
) -> None:
    service.init("p", {"a": 1, "b": 2})

    def returning() -> str:
        with client.lease("p") as lease:
            return lease.appid

    def yielding() -> Iterator[str]:
        with client.lease("p") as lease:
            yield lease.appid

    assert returning() == "a"
    generator = yielding()
    assert next(generator) == "b"
    generator.close()  # type: ignore[attr-defined]
    assert service.in_use() == []


def test_many_threads_release_one_lease_once(service: AnyService, client: AppIdClient) -> None:
    lease = client.lease("p").acquire()
    barrier = threading.Barrier(8)

    def give_back() -> bool:
        barrier.wait(PATIENCE)
        return lease.release()

    with ThreadPoolExecutor(8) as threads:
        told = [future.result() for future in [threads.submit(give_back) for _ in range(8)]]
    assert sorted(told) == [False] * 7 + [True]
    assert releases(service) == 1


def test_many_threads_have_many_leases_and_none_is_shared(
    service: AnyService, client: AppIdClient
) -> None:
    service.init("p", {f"a{n}": n for n in range(16)})
    held: list[str] = []

    def work(_: int) -> None:
        with client.lease("p") as lease:
            held.append(lease.appid)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(16)))
    assert len(set(held)) == 16
    assert service.in_use() == []


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.RESET_HALF_WAY])
def test_a_release_whose_answer_is_lost_is_no_loss(
    fault: Fault, service: AnyService, client: AppIdClient
) -> None:
    service.faults.queue("release", fault)
    with client.lease("p") as lease:
        pass
    wait_until(lambda: not client.pending_releases)
    assert lease.released and not lease.lost
    assert service.in_use() == []


def test_a_release_that_can_t_be_delivered_is_deferred_and_masks_nothing(
    service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="the body's own"):
        with client.lease("p") as lease:
            service.faults.queue("release", Fault.UNAVAILABLE, times=3)
            raise ValueError("the body's own")
    assert lease.released
    wait_until(lambda: not service.in_use(), what="the deferred release is delivered")
    wait_until(lambda: not client.pending_releases)
    assert "release of AppID a (product p) failed; retrying in the background" in caplog.text
    # A handler that keeps its records must not keep frames, and what they refer to.
    kept = [argument for record in caplog.records for argument in record.args or ()]
    assert not any(getattr(argument, "__traceback__", None) for argument in kept)


def test_what_is_owed_while_the_service_is_down_is_shown_and_delivered_when_it_is_back(
    service: AnyService, client: AppIdClient
) -> None:
    lease = client.lease("p").acquire()
    with service.refusing():
        assert lease.release() is False
        (owed,) = client.pending_releases
        assert (owed.product_name, owed.appid) == ("p", "a")
        assert owed.attempts >= 1 and "refused" in owed.last_error and owed.seconds >= 0
        assert service.in_use() == ["a"]
    wait_until(lambda: not client.pending_releases)
    assert service.in_use() == []


def test_a_deferred_release_does_not_take_back_what_somebody_else_holds_by_then(
    service: AnyService, client: AppIdClient
) -> None:
    lease = client.lease("p", ttl=None).acquire()
    with service.refusing():
        lease.release()
    # Depending on who is first, ours was released already or is dropped now; the other's stays.
    with hasty_client(service) as other:
        other.init_product("p", {"a": 1})
        wait_until(lambda: not client.pending_releases)
        with other.lease("p") as held:
            assert service.in_use() == ["a"] and held.held


def test_a_release_that_hears_that_the_appid_is_not_ours_marks_the_lease_lost(
    service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Lease] = []
    with client.lease("p", on_lost=told.append) as lease:
        with hasty_client(service) as other:
            assert other.release_appid("a", "p")
    wait_until(lambda: told)
    assert lease.lost and told == [lease]
    assert "lost AppID a (product p)" in caplog.text
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_forgotten_lease_warns_and_is_given_back(
    service: AnyService, client: AppIdClient
) -> None:
    lease = client.lease("p").acquire()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del lease
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "garbage-collected while it held a" in str(caught[0].message)
    wait_until(lambda: not service.in_use())


# Interrupts


def test_an_interrupt_at_any_moment_loses_no_appid(service: AnyService) -> None:
    service.init("p", {f"a{n}": n for n in range(400)})
    chance = random.Random(20)
    entered = 0
    with hasty_client(service) as client, Interrupter() as interrupter:
        for attempt in range(60):
            inside = threading.Event()
            try:
                if attempt % 2:
                    interrupter.strike_in(chance.uniform(0, 0.012))
                else:
                    interrupter.strike_after(_some_time_after(inside, chance.uniform(0, 0.006)))
                with client.lease("p"):
                    inside.set()
                    entered += 1
                    time.sleep(0.001)
                interrupter.wait()
            except Interrupt:
                pass
        gc.collect()
        wait_until(lambda: not service.in_use() and not client.pending_releases)
    assert service.in_use() == []
    assert entered >= 30


def _some_time_after(event: threading.Event, seconds: float) -> Callable[[], None]:
    def moment() -> None:
        event.wait(PATIENCE)
        time.sleep(seconds)

    return moment


def test_a_release_is_carried_through_although_an_interrupt_strikes_during_it(
    service: AnyService, client: AppIdClient
) -> None:
    lease = client.lease("p").acquire()
    gate = service.hold("release", times=1)

    def when_it_is_on_the_wire() -> None:
        gate.wait_reached()
        # Opened only after the interrupt was sent; the release has to be waited for all the same.
        threading.Timer(0.05, gate.release).start()

    with Interrupter() as interrupter, pytest.raises(Interrupt):
        interrupter.strike_after(when_it_is_on_the_wire)
        lease.release()
        interrupter.wait()
    assert lease.released
    assert service.in_use() == [], "given back before the interrupt came out"
    assert releases(service) == 1


# Abandoned acquires


@pytest.mark.parametrize(
    "acquire",
    [
        lambda client: client.lease("p", timeout=0.2).acquire(),
        lambda client: client.acquire_appid("p", timeout=0.2),
    ],
    ids=["lease", "plain"],
)
def test_a_timeout_while_the_acquire_is_on_the_wire_gives_back_what_it_gets(
    service: AnyService, client: AppIdClient, acquire: Callable[[AppIdClient], object]
) -> None:
    with service.hold("acquire", "after", times=1):
        with pytest.raises(NoAppIdAvailable, match="has not answered yet"):
            acquire(client)
        assert service.in_use() == ["a"]
    wait_until(lambda: not service.in_use(), what="what the late answer brought is given back")


def test_closing_a_client_gives_back_what_is_held(service: AnyService) -> None:
    service.init("p", {"a": 1, "b": 1})
    client = hasty_client(service)
    first, second = client.lease("p").acquire(), client.lease("p").acquire()
    client.close()
    assert service.in_use() == []
    assert not first.held
    with pytest.raises(LeaseLost, match="its client was closed"):
        first.check()
    assert first.release() is False and second.release() is False
    assert releases(service) == 2
    with pytest.raises(ClientClosed):
        client.lease("p").acquire()


def test_closing_a_client_is_bounded_however_many_leases_a_hanging_service_holds(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    service.init("p", {f"a{n}": n for n in range(8)})
    client = AppIdClient(service.url, 0.5, auth_token=service.auth_token)
    leases = [client.lease("p").acquire() for _ in range(8)]
    with service.hold("release"):
        started = time.monotonic()
        client.close(1.0)
        took = time.monotonic() - started
    assert took < 3.2, "one after the other they would take 4 seconds and more"
    assert len(leases) == 8


# Renewing


@pytest.mark.parametrize("in_coroutine", [False, True], ids=["thread", "coroutine"])
def test_renewing_gives_back_in_the_old_hour_and_takes_in_the_new(
    service: AnyService, in_coroutine: bool
) -> None:
    service.init("p", {"a": 1, "b": 2})  # a second AppID of the same hour is left alone

    def renew(**options: float) -> bool:
        return asyncio.run(lease.renew_async(**options)) if in_coroutine else lease.renew(**options)

    with turned_client(service) as client, client.lease("p", ttl=None) as lease:
        old, turn = lease.start_time, service.hour_end()
        assert renew(within=60) is False
        assert renew() is True
        assert old < turn * 1000 <= lease.start_time
        assert lease.held and service.in_use() == [lease.appid]
    assert service.in_use() == []
    assert len(service.grants) == 2


def test_a_renewal_that_gets_the_same_appid_has_a_larger_fence(service: AnyService) -> None:
    with turned_client(service) as client, client.lease("p", ttl=None) as lease:
        fence = lease.fence
        assert lease.renew()
        assert lease.appid == "a"
        if service.is_legacy:
            assert fence is None and lease.fence is None
        else:
            assert fence is not None and lease.fence is not None and fence < lease.fence


def test_a_renewal_that_finds_nothing_leaves_nothing_held(
    service: AnyService, client: AppIdClient
) -> None:
    with client.lease("p") as lease:
        with pytest.raises(NoAppIdAvailable):
            lease.renew(timeout=0.5)
        assert not lease.held
        with pytest.raises(LeaseNotHeld):
            lease.renew()
    assert service.in_use() == []
    assert releases(service) == 1


# Events


def test_events_tell_what_happened(service: AnyService) -> None:
    events: list[Event] = []
    with hasty_client(service, on_event=events.append) as client:
        with client.lease("p"):
            service.faults.queue("release", Fault.UNAVAILABLE)
        wait_until(lambda: not client.pending_releases)
        with pytest.raises(NoAppIdAvailable):
            client.acquire_appid("p", max_retries=0)
    kinds = [event.kind for event in events if event.kind is not EventKind.WAITING]
    assert kinds == [
        EventKind.ACQUIRED,
        EventKind.DEFERRED,
        EventKind.RELEASED,
        EventKind.EXHAUSTED,
    ]
    assert {event.product_name for event in events} == {"p"}
    assert events[0].appid == "a" and events[0].service == service.url


def test_a_hook_that_raises_has_no_effect_on_the_lease(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:

    def broken(event: Event) -> None:
        raise ZeroDivisionError(event.kind)

    with hasty_client(service, on_event=broken) as client:
        with client.lease("p") as lease:
            assert lease.held
    assert lease.released and service.in_use() == []
    assert "the event hook failed on acquired of p" in caplog.text


def test_an_on_lost_that_raises_has_no_effect_either(
    service: AnyService, client: AppIdClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(lease: Lease) -> None:
        raise ZeroDivisionError

    with client.lease("p", on_lost=broken) as lease:
        with hasty_client(service) as other:
            other.release_appid("a", "p")
    assert lease.lost
    wait_until(lambda: "on_lost of" in caplog.text, what="the failure is logged")


@pytest.mark.parametrize("option", ["within", "timeout"])
@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), ("x", TypeError)])
def test_a_renewal_refuses_what_is_no_number_of_seconds_and_keeps_the_appid(
    client: AppIdClient, option: str, value: Any, error: type[Exception]
) -> None:
    with client.lease("p") as lease:
        with pytest.raises(error, match=option):
            lease.renew(**{option: value})
        assert lease.held


def test_a_release_that_fails_in_the_users_own_session_is_deferred_like_any_other(
    service: AnyService, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(requests.Session):
        broken = False

        def send(self, *args: Any, **options: Any) -> requests.Response:
            if self.broken and "release" in args[0].url:
                raise RuntimeError("a bug of the user's")
            return super().send(*args, **options)

    with hasty_client(service, session_factory=Broken) as client:
        with pytest.raises(KeyError, match="the body's own"), client.lease("p"):
            Broken.broken = True
            raise KeyError("the body's own")
        assert [each.last_error for each in client.pending_releases] == ["a bug of the user's"]
        assert "failed; retrying in the background: a bug of the user's" in caplog.text
        Broken.broken = False
        wait_until(lambda: not service.in_use())


def test_an_acquire_that_was_given_up_in_the_queue_is_never_sent(service: AnyService) -> None:
    """All threads for acquires are busy, and the caller's time is over before one is free."""
    busy = 32
    service.init("p", {f"a{number}": number for number in range(busy + 1)})
    with client_of(service) as client, ThreadPoolExecutor(busy) as threads:
        hold = service.hold("acquire")
        try:
            leases = [client.lease("p", timeout=60) for _ in range(busy)]
            acquires = [threads.submit(lease.acquire) for lease in leases]
            wait_until(lambda: len(service.calls_of("acquire")) == busy)
            with pytest.raises(NoAppIdAvailable):
                client.lease("p", timeout=0.2).acquire()
        finally:
            hold.release()
        for acquire in acquires:
            acquire.result(PATIENCE)
        assert len(service.in_use("p")) == busy
        list(threads.map(lambda lease: lease.release(), leases))
        assert len(service.calls_of("acquire")) == busy
        assert service.in_use("p") == []
