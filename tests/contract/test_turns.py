"""The wait for an exhausted product, by clocks that only the wait moves: it ends at the turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService
from tests.support.machine import TurnedSystem

SKEWS = {"behind by an hour": -4000.0, "ahead by seconds": 30.4, "ahead by a year": 86400 * 365.0}
# An hour of waiting between two clocks that may drift by 100 millionths, and the jitter.
EXACTLY = 0.36 + 0.05 + 0.01

World = tuple[AppIdClient, TurnedSystem, Callable[[], float]]


@contextmanager
def field(minutes: int, skew: float, left: float) -> Iterator[World]:
    """The model of the field's service, `left` seconds before its hour turns."""
    with FieldService(zone_offset_minutes=minutes, offset=skew) as service:
        service.clock.freeze()
        service.set_time(service.hour_end() - left)
        system = TurnedSystem(followers=(service.advance,))
        with AppIdClient(service.url, 20, auth_token=service.auth_token, system=system) as client:
            yield client, system, service.hour_end


@contextmanager
def ours(zone: str, skew: float, left: float) -> Iterator[World]:
    """Our service, likewise."""
    with LocalService(timezone=zone) as service:
        service.clock.freeze()
        service.advance(skew)
        service.set_time(service.hour.end - round(left * 1000))
        system = TurnedSystem(followers=(service.advance,))
        with AppIdClient(service.url, 20, system=system) as client:
            yield client, system, lambda: service.hour.end / 1000


WORLDS = [
    *((field, minutes) for minutes in (0, 330, 345, 495, -210)),
    *((ours, zone) for zone in ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns")),
]


@pytest.mark.parametrize("left", [3599.0, 61.5, 0.7])
@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
@pytest.mark.parametrize(("service", "zone"), WORLDS, ids=[str(zone) for _, zone in WORLDS])
def test_the_wait_ends_at_the_turn_whatever_any_clock_says(
    service: Callable[..., AbstractContextManager[World]], zone: int | str, skew: float, left: float
) -> None:
    with service(zone, skew, left) as (client, system, turn_of):
        client.init_product("p", {"a": 1})
        client.acquire_appid("p")
        assert client.release_appid("a", "p")
        turn = turn_of()
        began = system.monotonic()
        got = client.acquire_appid("p")
    assert turn <= got.start_time / 1000 <= turn + EXACTLY
    assert left <= system.monotonic() - began <= left + EXACTLY
    assert len(system.pauses) <= left / 60 + 2, "one poll a minute, and one at the turn"
