"""How long a rescheduled task stays away: until an AppID can be free, and not too long.

A broker delivers a message again that stays away longer than its visibility timeout.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from appid_manager_client.integrations._rescheduling import LONGEST_HOP, hop_seconds
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
