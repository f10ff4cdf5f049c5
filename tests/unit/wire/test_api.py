"""The hour of a grant: that in which it was made, in whichever hour its answer was read."""

from __future__ import annotations

from appid_manager_client.config import Settings
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Grant
from appid_manager_client.wire.transport import Transport

HOUR_END = 1_700_002_800.0


def grant(start: float, hour_end: float | None) -> Grant:
    end_ms = None if hour_end is None else int(hour_end * 1000)
    return Grant("a", 1, "p", int(start * 1000), hour_end_ms=end_ms)


def make_api() -> ServiceApi:
    system = SystemTime()
    transport = Transport(Settings.resolve("http://127.0.0.1:9", environ={}), system)
    return ServiceApi(transport, ServerClock(system))


def test_a_new_grant_belongs_to_the_hour_of_its_answer() -> None:
    assert make_api().hour_end_of(grant(HOUR_END - 1, HOUR_END)) == HOUR_END


def test_a_grant_that_is_repeated_after_the_turn_belongs_to_the_hour_before() -> None:
    api = make_api()
    api.clock.observe_hour(int((HOUR_END + 3600) * 1000))
    assert api.hour_end_of(grant(HOUR_END - 1, HOUR_END + 3600)) == HOUR_END


def test_a_grant_without_an_hour_is_placed_by_the_hours_that_are_known() -> None:
    api = make_api()
    assert api.hour_end_of(grant(HOUR_END - 1, None)) is None
    api.clock.observe_hour(int((HOUR_END + 1800) * 1000))
    assert api.hour_end_of(grant(HOUR_END - 1, None)) == HOUR_END + 1800
