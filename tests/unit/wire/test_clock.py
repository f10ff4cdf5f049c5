"""The service's clock: its bounds are right with any latency, drift and step; hours are its own."""

from __future__ import annotations

import ast
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import appid_manager_client
from appid_manager_client.wire.clock import ServerClock
from tests.support.machine import TurnedSystem

EPOCH = 1_700_000_000.0
LATENCY = st.floats(0, 10)
DRIFTS = st.floats(-50e-6, 50e-6)
SKEWS = st.floats(-90_000, 90_000)


class Service:
    """A service whose clock runs a little fast or slow against the machine's."""

    def __init__(self, system: TurnedSystem, skew: float, drift: float) -> None:
        self.system = system
        self.rate = 1 + drift
        self.epoch = EPOCH + skew - system.monotonic() * self.rate

    def time(self, at: float | None = None) -> float:
        at = self.system.monotonic() if at is None else at
        return self.epoch + at * self.rate

    def answer(self, clock: ServerClock, there: float, back: float) -> None:
        """One exchange: the request takes `there` seconds, the answer `back`."""
        sent = self.system.monotonic()
        self.system.turn(there)
        heard = math.floor(self.time() * 1000)
        self.system.turn(back)
        clock.observe(heard, sent, self.system.monotonic())


def assert_bounded(clock: ServerClock, truth: float) -> None:
    # A float of 1.7e9 seconds is exact to a microsecond only.
    assert clock.earliest() <= truth + 2e-6
    assert clock.latest() >= truth - 2e-6


@given(
    skew=SKEWS,
    drift=DRIFTS,
    exchanges=st.lists(st.tuples(LATENCY, LATENCY, st.floats(0, 5000)), min_size=1, max_size=12),
)
def test_the_bounds_always_hold_the_truth(
    skew: float, drift: float, exchanges: list[tuple[float, float, float]]
) -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, skew, drift)
    for there, back, idle in exchanges:
        service.answer(clock, there, back)
        assert_bounded(clock, service.time())
        system.turn(idle)
        assert_bounded(clock, service.time())
        assert clock.earliest() <= clock.now() <= clock.latest()


@given(
    skew=SKEWS,
    drift=DRIFTS,
    overlapping=st.lists(st.tuples(LATENCY, LATENCY, st.floats(0, 30)), min_size=2, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_the_bounds_hold_when_answers_of_many_threads_come_in_any_order(
    skew: float, drift: float, overlapping: list[tuple[float, float, float]], order: random.Random
) -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, skew, drift)
    start = system.monotonic()
    told = []
    for there, back, begin in overlapping:
        sent = start + begin
        told.append((math.floor(service.time(sent + there) * 1000), sent, sent + there + back))
    order.shuffle(told)
    system.turn(60)
    for heard, sent, received in told:
        clock.observe(heard, sent, received)
        assert_bounded(clock, service.time())


@given(
    skew=SKEWS,
    step=st.floats(-7200, 7200).filter(lambda step: abs(step) > 0.1),
    latencies=st.lists(st.tuples(st.floats(0, 0.02), st.floats(0, 0.02)), min_size=1, max_size=5),
)
def test_a_clock_that_was_set_is_believed_at_the_next_answer(
    skew: float, step: float, latencies: list[tuple[float, float]]
) -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, skew, 0.0)
    for there, back in latencies:
        service.answer(clock, there, back)
    service.epoch += step
    service.answer(clock, 0.01, 0.01)
    assert_bounded(clock, service.time())
    assert abs(clock.now() - service.time()) < 0.03


def test_answers_narrow_the_bounds_and_age_widens_them() -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, 0, 0)
    service.answer(clock, 2.0, 2.0)
    wide = clock.latest() - clock.earliest()
    service.answer(clock, 0.001, 0.001)
    narrow = clock.latest() - clock.earliest()
    assert narrow < 0.005 < 4 <= wide
    system.turn(1000)
    assert narrow < clock.latest() - clock.earliest() < narrow + 0.3


def test_before_any_answer_nothing_is_known() -> None:
    clock = ServerClock(TurnedSystem())
    assert not clock.known and not clock.hour_known
    assert clock.age == math.inf
    assert (clock.earliest(), clock.latest()) == (-math.inf, math.inf)
    assert clock.hour_end() is None and clock.hour_end_after(EPOCH) is None
    with pytest.raises(ValueError, match="not known yet"):
        clock.now()


def test_hours_without_a_time_are_of_no_use_yet() -> None:
    clock = ServerClock(TurnedSystem())
    clock.observe_hour(int(EPOCH * 1000))
    assert not clock.hour_known
    assert clock.hour_end() is None


# Hours


@pytest.mark.parametrize("minute", [0, 15, 30, 45])
@given(into=st.floats(0, 3599.9), hours=st.integers(-30, 30))
def test_hours_turn_at_the_minute_that_the_service_tells(
    minute: int, into: float, hours: int
) -> None:
    turn = (EPOCH // 3600) * 3600 + minute * 60
    clock = ServerClock(TurnedSystem())
    clock.observe_hour(int((turn + 3600 * hours) * 1000))
    assert clock.hour_end_after(turn + into) == turn + 3600


def test_the_time_of_the_turn_belongs_to_the_hour_that_begins() -> None:
    clock = ServerClock(TurnedSystem())
    clock.observe_hour(7_200_000)
    assert clock.hour_end_after(7199.999) == 7200
    assert clock.hour_end_after(7200.0) == 10_800


def test_a_shift_of_half_an_hour_in_summer_is_taken_from_the_next_answer() -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, 0, 0)
    service.answer(clock, 0.01, 0.01)
    turn = math.ceil(service.time() / 3600) * 3600
    clock.observe_hour(turn * 1000, (turn - 3600) * 1000)
    assert clock.hour_end() == turn
    system.turn(turn - service.time() + 1)
    assert not clock.hour_known, "an extrapolated hour is to be asked for again"
    clock.observe_hour((turn + 1800) * 1000, (turn - 1800) * 1000)
    assert clock.hour_known
    assert clock.hour_end() == turn + 1800


def test_an_hour_that_tells_its_start_tells_its_length() -> None:
    clock = ServerClock(TurnedSystem())
    assert clock.hour_length == 3600
    clock.observe_hour(20_000, 10_000)
    assert clock.hour_length == 10
    clock.observe_hour(30_000)
    assert clock.hour_length == 10, "an answer without the start says nothing of the length"


@given(there=LATENCY, back=LATENCY, idle=st.floats(0, 4000), drift=DRIFTS, ahead=st.floats(0, 7200))
def test_a_time_is_certainly_reached_after_and_certainly_not_before(
    there: float, back: float, idle: float, drift: float, ahead: float
) -> None:
    system = TurnedSystem()
    clock, service = ServerClock(system), Service(system, 17.0, drift)
    service.answer(clock, there, back)
    system.turn(idle)
    then = service.time() + ahead
    until, before = clock.seconds_until(then), clock.seconds_before(then)
    assert before <= until
    now = system.monotonic()
    # Compared at the end of the wait, by a clock that has drifted meanwhile.
    assert service.time(now + until) >= then - 2e-6
    assert service.time(now + before) <= then + 2e-6


@pytest.mark.parametrize("package", ["wire", "lease", "pool"])
def test_what_decides_an_hour_never_reads_the_wall_clock_which_may_jump(package: str) -> None:
    files = list(Path(appid_manager_client.__file__).with_name(package).glob("*.py"))
    assert len(files) > 5
    read = [
        f"{path.name}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("time", "time_ns", "now", "utcnow", "today")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime", "date")
    ]
    assert not read
