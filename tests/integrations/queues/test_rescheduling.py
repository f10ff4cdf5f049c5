"""How long a rescheduled task stays away: until an AppID can be free, and not too long.

A broker delivers a message again that stays away longer than its visibility timeout.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from appid_manager_client.integrations._rescheduling import (
    COME_BACK,
    LONGEST_HOP,
    TICKET,
    Hop,
    Standing,
    hop_seconds,
)
from kombu.transport import redis as kombu_redis

from appid_manager_client import NoAppIdAvailable

JITTER = 0.5


def exhausted(retry_after: float | None) -> NoAppIdAvailable:
    return NoAppIdAvailable("nothing is free", product_name="stt_billing", retry_after=retry_after)


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(0.0, 0.0), (42.0, 42.0), (3000.0, 300.0), (None, 60.0)]
)
def test_a_hop_ends_at_the_turn_or_after_five_minutes(
    retry_after: float | None, seconds: float
) -> None:
    hops = [hop_seconds(exhausted(retry_after)) for _ in range(200)]
    assert seconds <= min(hops)
    assert max(hops) <= seconds + JITTER
    assert len(set(hops)) > 1  # tasks that were turned away together don't come back in one instant


def test_no_hop_comes_near_the_visibility_timeout_of_redis() -> None:
    shortest_in_use: float = kombu_redis.Channel.visibility_timeout
    assert timedelta(seconds=LONGEST_HOP + JITTER) < timedelta(seconds=shortest_in_use) / 10


def in_line(retry_after: float) -> NoAppIdAvailable:
    return NoAppIdAvailable(
        "nothing is free",
        product_name="stt_billing",
        retry_after=retry_after,
        ticket="t" * 22,
        come_back_at=1_700_000_000.5,
        place=3,
        waiting=17,
    )


def test_a_task_comes_back_at_the_moment_that_the_line_told_it() -> None:
    assert {hop_seconds(in_line(42.0)) for _ in range(20)} == {42.0}


def test_a_task_carries_its_ticket_and_its_moment_and_tells_its_place() -> None:
    hop = Hop.after(in_line(42.0), {}, None)
    assert Standing.of(hop.carry()) == Standing("t" * 22, 1_700_000_000.5)
    assert hop.in_line() == {"place": 3, "waiting": 17}


def test_a_task_without_a_place_carries_none() -> None:
    hop = Hop.after(exhausted(42.0), {TICKET: "before", COME_BACK: 1.0}, None)
    assert Standing.of(hop.carry()) == Standing()
    assert hop.in_line() == {}


@pytest.mark.parametrize(
    ("carried", "standing"),
    [
        ({}, Standing()),
        ({TICKET: 7}, Standing()),
        ({TICKET: ""}, Standing()),
        ({TICKET: "x" * 65}, Standing()),
        ({TICKET: None, COME_BACK: None}, Standing()),
        ({TICKET: "t", COME_BACK: "soon"}, Standing("t")),
        ({TICKET: "t", COME_BACK: True}, Standing("t")),
        ({TICKET: "t", COME_BACK: -1}, Standing("t")),
        ({TICKET: "t", COME_BACK: float("nan")}, Standing("t")),
        ({TICKET: "t", COME_BACK: float("inf")}, Standing("t")),
    ],
)
def test_what_others_wrote_into_a_message_is_no_place(
    carried: dict[str, Any], standing: Standing
) -> None:
    assert Standing.of(carried) == standing
