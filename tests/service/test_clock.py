"""The service's clock, and how it notices that it was set."""

import pytest

from appid_manager_client.server.clock import SystemClock


class Clocks:
    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000.0, 5.0

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.monotonic)


def test_the_clock_gives_milliseconds():
    assert Clocks().clock()() == 1_000_000


@pytest.mark.parametrize("step", [60.0, -60.0])
def test_a_clock_that_was_set_is_noticed_once(step):
    clocks = Clocks()
    clock = clocks.clock()
    clocks.wall += step
    assert clock.jumped()
    assert not clock.jumped()


def test_time_that_passes_is_no_jump():
    clocks = Clocks()
    clock = clocks.clock()
    clocks.wall += 3600.5
    clocks.monotonic += 3600.0
    assert not clock.jumped()
