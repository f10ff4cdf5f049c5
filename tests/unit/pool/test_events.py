"""The events of a pool: of its AppIDs as of others, and of callers that got none in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from appid_manager_client import Event, EventKind, LeasePool, PoolTimeout
from tests.support.services import AnyService, client_of
from tests.support.waiting import PATIENCE, wait_until
from tests.unit.pool.threads import in_thread

SCARCE = "scarce"
"""A product of one AppID."""


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def pool(any_service: AnyService, events: list[Event]) -> Iterator[LeasePool]:
    any_service.init(SCARCE, {"a": 1})
    with client_of(any_service, on_event=events.append) as client:
        yield client.pool(SCARCE, max_size=2)


def check_out(pool: LeasePool) -> None:
    pool.lease(timeout=0.05).acquire()


def check_out_in_a_coroutine(pool: LeasePool) -> None:
    asyncio.run(pool.lease(timeout=0.05).acquire_async())


@pytest.mark.parametrize("check_out", [check_out, check_out_in_a_coroutine])
def test_a_caller_who_gets_nothing_in_time_is_an_event(
    pool: LeasePool, events: list[Event], check_out: Callable[[LeasePool], None]
) -> None:
    with pool.lease():
        events.clear()
        for number in (1, 2):
            with pytest.raises(PoolTimeout) as caught:
                check_out(pool)
            assert len(events) == number == pool.get_stats().timeouts
            event = events[-1]
            assert (event.kind, event.product_name) == (EventKind.EXHAUSTED, SCARCE)
            assert (event.appid, event.seconds) == (None, caught.value.waited)


def test_a_caller_who_gets_what_others_give_back_is_none(
    pool: LeasePool, events: list[Event]
) -> None:
    with pool.lease():
        waiter = in_thread(lambda: pool.lease(timeout=PATIENCE).acquire().release())
        wait_until(lambda: pool.get_stats().exhausted, what="the service has no other AppID")
    waiter.join(PATIENCE)
    pool.close(PATIENCE)
    assert pool.get_stats().checkouts == 2
    assert Counter(event.kind for event in events) == {EventKind.ACQUIRED: 1, EventKind.RELEASED: 1}
