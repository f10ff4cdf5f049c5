"""When to try again: bounded pauses, the turn of the hour is met, nobody waits in vain."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appid_manager_client.errors import (
    AppIdManagerError,
    NoAppIdAvailable,
    RequestTimeout,
    ServiceUnavailable,
)
from appid_manager_client.lease.options import WaitOptions
from appid_manager_client.lease.waiting import AcquirePlan
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Wait
from appid_manager_client.wire.retry import (
    BACKOFF_START,
    MAX_RETRY_AFTER,
    MIN_PAUSE,
    TURN_JITTER,
    backoff,
    describe,
)
from tests.support.machine import TurnedSystem

HOUR = 1_700_002_800.0  # an hour of UTC begins here
UNCERTAIN = (
    0.01  # what a latency of 4 ms each way and a clock read in whole milliseconds leave open
)


@dataclass
class World:
    """A machine, a service with a clock of its own, and what the machine knows of it."""

    system: TurnedSystem
    clock: ServerClock
    epoch: float
    turn: float
    rate: float = 1.0

    def service_time(self) -> float:
        return self.epoch + self.system.monotonic() * self.rate

    def plan(self, **options: Any) -> AcquirePlan:
        return AcquirePlan(
            "stt_billing", "http://service", WaitOptions(**options), self.clock, self.system
        )

    def pause(self, seconds: float) -> None:
        self.system.turn(seconds)

    def exchange(self) -> None:
        """Hear the service's time, over 4 ms there and 4 ms back."""
        sent = self.system.monotonic()
        self.system.turn(0.004)
        heard = math.floor(self.service_time() * 1000)
        self.system.turn(0.004)
        self.clock.observe(heard, sent, self.system.monotonic())


def world(
    into_the_hour: float = 600.0,
    *,
    minute: int = 0,
    drift: float = 0.0,
    hours_known: bool = True,
    jitter: Any = 0.5,
) -> World:
    """A service whose hours turn at that minute, asked for its time `into_the_hour` seconds in."""
    system = TurnedSystem(jitter=jitter)
    turn = HOUR + minute * 60 + 3600
    start = turn - 3600 + into_the_hour
    rate = 1 + drift
    made = World(system, ServerClock(system), start - system.monotonic() * rate - 0.008, turn, rate)
    if hours_known:
        made.exchange()
        made.clock.observe_hour(int(turn * 1000))
    return made


USED_UP = Wait("no_available", 300.0)
ALL_IN_USE = Wait("waiting", 60.0)

into_an_hour = st.floats(0.02, 3599.0)
minutes = st.sampled_from([0, 15, 30, 45])
drifts = st.floats(-50e-6, 50e-6)
jitters = st.floats(0, 1)


# The turn of the hour


@given(
    into=into_an_hour,
    minute=minutes,
    drift=drifts,
    jitter=jitters,
    wait=st.sampled_from([USED_UP, ALL_IN_USE]),
)
def test_a_wait_ends_just_after_the_turn_on_the_service_s_clock_and_never_before(
    into: float, minute: int, drift: float, jitter: float, wait: Wait
) -> None:
    there = world(into, minute=minute, drift=drift, jitter=jitter)
    plan = there.plan(retry_interval=4000)
    plan.begin_try()
    pause = plan.after_wait(wait)
    there.pause(pause)
    late = there.service_time() - there.turn
    assert late >= -2e-6, "woke before the turn"
    # Two drifts of 100 ppm over the wait: what the clock may have drifted, and what it was granted.
    assert late <= TURN_JITTER + UNCERTAIN + 2 * 150e-6 * pause + 1e-5


@given(into=into_an_hour, minute=minutes, drift=drifts, interval=st.floats(1, 120))
def test_polling_up_to_the_turn_meets_it_within_a_tenth_of_a_second(
    into: float, minute: int, drift: float, interval: float
) -> None:
    there = world(into, minute=minute, drift=drift, jitter=1.0)
    plan = there.plan(max_retries=10_000, retry_interval=interval)
    while there.service_time() < there.turn:
        plan.begin_try()
        there.exchange()  # as each answer of an extended service tells the time
        assume(there.service_time() < there.turn)
        pause = plan.after_wait(ALL_IN_USE)
        assert MIN_PAUSE <= pause <= max(MIN_PAUSE, interval)
        before = there.service_time()
        there.pause(pause)
        assert there.service_time() >= there.turn or pause == interval or before + 1 > there.turn
    assert there.service_time() - there.turn <= 0.1


def test_what_an_extended_service_says_of_the_next_free_moment_is_believed() -> None:
    there = world(600)
    plan = there.plan(retry_interval=60)
    plan.begin_try()
    soon = Wait("waiting", 8.0, available_at_ms=int((there.service_time() + 7.5) * 1000))
    assert 7.49 <= plan.after_wait(soon) <= 7.6


def test_a_turn_that_came_while_the_answer_was_on_its_way_is_not_waited_for_again() -> None:
    there = world(3599.9)
    plan = there.plan(retry_interval=60)
    plan.begin_try()
    there.pause(0.5)  # a slow answer, given in the old hour
    assert plan.after_wait(USED_UP) <= 0.1


def test_a_poll_in_the_middle_of_the_hour_comes_after_retry_interval() -> None:
    there = world(600)
    plan = there.plan(retry_interval=60)
    plan.begin_try()
    assert plan.after_wait(USED_UP) == 60


# Without hours


@given(retry_after=st.floats(0, 1e6), interval=st.floats(0, 1e5))
def test_retry_after_counts_only_where_the_turn_is_unknown_and_never_below_half_a_second(
    retry_after: float, interval: float
) -> None:
    there = world(hours_known=False)
    plan = there.plan(retry_interval=interval)
    plan.begin_try()
    pause = plan.after_wait(Wait("no_available", retry_after))
    if interval >= 0.5:
        assert pause >= 0.5
    assert pause == max(MIN_PAUSE, min(interval, max(0.5, min(retry_after, MAX_RETRY_AFTER))))


def test_the_last_second_s_zero_of_a_legacy_service_is_no_busy_loop() -> None:
    plan = world(hours_known=False).plan()
    plan.begin_try()
    assert plan.after_wait(Wait("no_available", 0)) == 0.5


def test_force_polls_plainly_whatever_is_known_of_the_hour() -> None:
    there = world(3590)
    plan = there.plan(retry_interval=60, force=True)
    plan.begin_try()
    assert plan.after_wait(Wait("waiting", 3.0, available_at_ms=int(there.turn * 1000))) == 60


# Bounds


class Outcomes:
    """What the service answers, one after the other."""

    WAITS = st.builds(
        Wait,
        st.sampled_from(["no_available", "waiting"]),
        st.floats(-10, 1e7),
        available_at_ms=st.none() | st.integers(0, int((HOUR + 90_000) * 1000)),
    )
    FAILURES = st.builds(
        ServiceUnavailable, st.just("down"), retry_after=st.none() | st.floats(0, 1e7)
    )


@given(
    options=st.fixed_dictionaries(
        {
            "max_retries": st.integers(0, 12),
            "retry_interval": st.floats(0, 4000),
            "timeout": st.none() | st.floats(0, 4000),
            "force": st.booleans(),
        }
    ),
    outcomes=st.lists(st.one_of(Outcomes.WAITS, Outcomes.FAILURES), min_size=14, max_size=14),
    durations=st.lists(st.floats(0, 20), min_size=14, max_size=14),
    into=into_an_hour,
    known=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_pause_is_bounded_and_every_call_ends(
    options: dict[str, Any],
    outcomes: list[Wait | ServiceUnavailable],
    durations: list[float],
    into: float,
    known: bool,
    seed: int,
) -> None:
    there = world(into, hours_known=known, jitter=random.Random(seed).random)
    plan = there.plan(**options)
    started = there.system.monotonic()
    timeout = options["timeout"]
    tries = 0
    with pytest.raises(AppIdManagerError) as caught:
        for outcome, seconds in zip(outcomes, durations, strict=True):
            tries += 1
            plan.begin_try()
            there.pause(seconds)
            if isinstance(outcome, Wait):
                pause = plan.after_wait(outcome)
                longest = max(options["retry_interval"], MIN_PAUSE)
            else:
                pause = plan.after_error(outcome)
                longest = max(options["retry_interval"], MIN_PAUSE, MAX_RETRY_AFTER)
            assert MIN_PAUSE <= pause <= longest
            there.pause(pause)
            if timeout is not None:
                assert there.system.monotonic() < started + timeout, "a pause beyond the deadline"
                assert plan.patience
    assert tries <= options["max_retries"] + 1
    if tries > 1 or isinstance(caught.value, NoAppIdAvailable):
        assert f"{tries} tr" in str(caught.value)


@given(failures=st.integers(1, 60), longest=st.floats(0, 100), share=jitters)
def test_backoff_has_full_jitter_up_to_a_ceiling_that_doubles(
    failures: int, longest: float, share: float
) -> None:
    pause = backoff(TurnedSystem(jitter=share), failures, longest)
    ceiling = max(MIN_PAUSE, min(longest, BACKOFF_START * 2 ** (failures - 1)))
    assert pause == pytest.approx(MIN_PAUSE + share * (ceiling - MIN_PAUSE))


def test_backoff_starts_again_after_an_answer() -> None:
    there = world(jitter=1.0)
    plan = there.plan(max_retries=20)
    pauses = []
    for _ in range(3):
        plan.begin_try()
        pauses.append(plan.after_error(ServiceUnavailable("down")))
    plan.begin_try()
    plan.after_wait(USED_UP)
    plan.begin_try()
    pauses.append(plan.after_error(ServiceUnavailable("down")))
    assert pauses == [0.5, 1.0, 2.0, 0.5]


def test_a_service_that_says_when_to_come_back_is_not_asked_before() -> None:
    plan = world().plan()
    plan.begin_try()
    assert plan.after_error(ServiceUnavailable("busy", retry_after=40.0)) == 40
    plan.begin_try()
    assert plan.after_error(ServiceUnavailable("busy", retry_after=1e9)) == MAX_RETRY_AFTER


# The end


def test_the_plan_does_not_sleep_after_the_last_try() -> None:
    plan = world().plan(max_retries=2)
    for _ in range(2):
        plan.begin_try()
        plan.after_wait(USED_UP)
    plan.begin_try()
    with pytest.raises(NoAppIdAvailable, match="3 tries") as caught:
        plan.after_wait(USED_UP)
    assert caught.value.attempts == 3


def test_without_retries_there_is_one_try() -> None:
    plan = world().plan(max_retries=0)
    plan.begin_try()
    with pytest.raises(NoAppIdAvailable, match="1 try") as caught:
        plan.after_wait(ALL_IN_USE)
    assert caught.value.attempts == 1
    plan = world().plan(max_retries=0)
    plan.begin_try()
    with pytest.raises(ServiceUnavailable, match="^down$"):
        plan.after_error(ServiceUnavailable("down"))


def test_a_timeout_of_zero_is_one_try_and_no_waiting() -> None:
    there = world()
    plan = there.plan(timeout=0)
    assert plan.patience is None, "the one try has the time that a request has"
    plan.begin_try()
    there.pause(0.01)
    with pytest.raises(NoAppIdAvailable) as caught:
        plan.after_wait(USED_UP)
    assert caught.value.attempts == 1
    assert caught.value.available_at == pytest.approx(there.turn)


def test_a_timeout_of_zero_ends_after_one_try_even_if_the_hour_turns_during_it() -> None:
    there = world(3599.9)
    plan = there.plan(timeout=0)
    plan.begin_try()
    there.pause(0.5)
    with pytest.raises(NoAppIdAvailable):
        plan.after_wait(USED_UP)


def test_a_timeout_shorter_than_the_way_to_the_turn_ends_the_call_at_once_and_says_when() -> None:
    there = world(600)
    plan = there.plan(timeout=1000)
    plan.begin_try()
    with pytest.raises(NoAppIdAvailable) as caught:
        plan.after_wait(USED_UP)
    error = caught.value
    assert error.available_at == pytest.approx(there.turn)
    assert error.waited == 0
    assert error.product_name == "stt_billing" and error.service == "http://service"
    assert "2023-11-15 00:00:00 UTC" in str(error)
    assert "used up for this hour" in str(error)


def test_a_timeout_longer_than_the_way_to_the_turn_waits_for_it() -> None:
    there = world(3590)
    plan = there.plan(timeout=30)
    plan.begin_try()
    there.pause(plan.after_wait(USED_UP))
    assert 0 <= there.service_time() - there.turn < 0.1
    assert plan.patience == pytest.approx(30 - 10, abs=0.2)


@given(spare=st.floats(0, 0.2), share=jitters)
def test_a_try_after_the_turn_has_time_for_its_answer_or_is_not_waited_for(
    spare: float, share: float
) -> None:
    there = world(3590, jitter=share)
    plan = there.plan(timeout=10 + spare)
    plan.begin_try()
    try:
        there.pause(plan.after_wait(USED_UP))
    except NoAppIdAvailable:
        assert spare < MIN_PAUSE + UNCERTAIN + 0.003
    else:
        assert plan.patience is not None and plan.patience >= MIN_PAUSE / 2 - 1e-9


def test_without_known_hours_the_last_try_comes_shortly_before_the_deadline() -> None:
    there = world(hours_known=False)
    plan = there.plan(timeout=10, retry_interval=60)
    plan.begin_try()
    there.pause(plan.after_wait(ALL_IN_USE))
    assert plan.patience == pytest.approx(0.5)
    plan.begin_try()
    with pytest.raises(NoAppIdAvailable, match="2 tries in 9.5 s") as caught:
        plan.after_wait(ALL_IN_USE)
    assert caught.value.available_at is None


def test_what_no_retry_can_mend_is_raised_as_it_is() -> None:
    plan = world().plan()
    plan.begin_try()
    error = ServiceUnavailable("no trusted TLS connection", retryable=False)
    with pytest.raises(ServiceUnavailable) as caught:
        plan.after_error(error)
    assert caught.value is error


def test_a_failure_after_several_tries_says_what_was_tried_and_keeps_its_facts() -> None:
    error = RequestTimeout("no answer", service="s", maybe_received=False, status=None)
    told = describe(error, 4, 12.34)
    assert str(told) == "no answer; gave up after 4 tries in 12.3 s"
    assert type(told) is RequestTimeout
    assert (told.service, told.maybe_received) == ("s", False)
    assert str(error) == "no answer", "the first error may still be looked at elsewhere"


def test_a_deadline_that_passes_while_the_service_is_silent_has_its_own_words() -> None:
    there = world()
    plan = there.plan(timeout=5)
    plan.begin_try()
    there.pause(5)
    assert plan.patience == 0
    error = plan.out_of_time()
    assert "has not answered yet" in str(error) and error.waited == 5


# A fresh hour


def test_enough_of_the_hour_left_is_no_reason_to_wait() -> None:
    there = world(600)
    assert there.plan(min_remaining=2900).until_fresh_hour(there.turn) is None


@given(into=st.floats(3001, 3599), drift=drifts, jitter=jitters)
def test_too_little_left_of_the_hour_waits_for_the_turn(
    into: float, drift: float, jitter: float
) -> None:
    there = world(into, drift=drift, jitter=jitter)
    pause = there.plan(min_remaining=600).until_fresh_hour(there.clock.hour_end())
    assert pause is not None
    there.pause(pause)
    assert -2e-6 <= there.service_time() - there.turn <= 0.3
    assert there.plan(min_remaining=600).until_fresh_hour(there.clock.hour_end()) is None


def test_a_fresh_hour_that_comes_after_the_deadline_is_not_waited_for() -> None:
    there = world(3500)
    with pytest.raises(NoAppIdAvailable, match="less than 600 s are left") as caught:
        there.plan(min_remaining=600, timeout=50).until_fresh_hour(there.turn)
    assert caught.value.available_at == there.turn
    assert caught.value.attempts == 0


def test_a_moment_before_which_nothing_is_asked_is_waited_for() -> None:
    there = world(3000)
    plan = there.plan(not_before=there.turn)
    assert plan.needs_hours
    pause = plan.until_fresh_hour(there.turn)
    assert pause is not None and pause == pytest.approx(600, abs=0.2)
    there.pause(pause)
    assert plan.until_fresh_hour(there.turn + 3600) is None


def test_more_than_a_shortened_hour_can_have_left_is_a_value_error() -> None:
    there = world(600)
    there.clock.observe_hour(int(there.turn * 1000), int((there.turn - 10) * 1000))
    with pytest.raises(ValueError, match=r"min_remaining must be less than an hour \(10 s\)"):
        there.plan(min_remaining=10).until_fresh_hour(there.turn)


# Options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": 1.5}, TypeError),
        ({"max_retries": True}, TypeError),
        ({"max_retries": "3"}, TypeError),
        ({"max_retries": None}, TypeError),
        ({"retry_interval": -0.1}, ValueError),
        ({"retry_interval": math.inf}, ValueError),
        ({"retry_interval": "60"}, TypeError),
        ({"retry_interval": None}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": math.nan}, ValueError),
        ({"timeout": True}, TypeError),
        ({"force": 1}, TypeError),
        ({"min_remaining": -1}, ValueError),
        ({"min_remaining": None}, TypeError),
        ({"min_remaining": 3600}, ValueError),
        ({"min_remaining": 7200.0}, ValueError),
    ],
)
def test_an_option_that_can_t_be_meant_is_named(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"^{next(iter(options))} must "):
        WaitOptions(**options)
