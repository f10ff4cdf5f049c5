"""When a plan takes a place in line, is held, and goes on without: by clocks that tests turn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from appid_manager_client.errors import InvalidRequest, NoAppIdAvailable, ServiceUnavailable
from appid_manager_client.lease.options import WaitOptions
from appid_manager_client.lease.waiting import AcquirePlan
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Place, Wait
from tests.support.machine import HeldSystem, TurnedSystem

TURN = 1_700_006_400.0
LEFT = 600.0
"""Seconds until the turn when a plan begins."""


@pytest.fixture
def system() -> HeldSystem:
    return HeldSystem()


def plan_at(system: TurnedSystem, left: float = LEFT, **options: Any) -> AcquirePlan:
    clock = ServerClock(system)
    now = system.monotonic()
    clock.observe(round((TURN - left) * 1000), now, now)
    clock.observe_hour(round(TURN * 1000))
    return AcquirePlan("p", "http://service", WaitOptions(**options), clock, system)


def told(place: Place | None) -> Wait:
    """A 202 of a service with the extensions."""
    turn = round(TURN * 1000)
    return Wait("no_available", 300, turn, turn - round(LEFT * 1000), turn, place)


def in_line(number: int = 1) -> Place:
    turn = round(TURN * 1000)
    return Place("ticket", number, 9, True, turn - 15_000, turn - 1_000, turn + 2_400)


def test_it_looks_draws_a_ticket_and_is_held_over_the_turn(system):
    plan = plan_at(system)
    assert plan.begin_try().wait is None
    assert plan.after_wait(told(None)) == 0
    assert plan.begin_try().wait == 0
    polled = plan.after_wait(told(in_line()))
    assert polled == 60
    while (left := plan.place.seconds_to_hold(forced=False)) is not None and left > 0:
        system.turn(left)
    asking = plan.begin_try()
    assert asking.ticket == "ticket"
    # In the middle of the window: eight seconds before the turn, until 2.4 s after it.
    assert asking.wait == pytest.approx(10.4, abs=0.2)


def test_a_line_that_takes_nobody_more_is_left_alone_even_when_it_is_time_to_be_held(system):
    plan = plan_at(system)
    plan.begin_try()
    plan.after_wait(told(in_line()))
    system.turn(LEFT - 1)
    assert plan.begin_try().wait
    plan.place.refuse()
    asking = plan.begin_try()
    assert (asking.wait, asking.ticket) == (None, None)
    assert plan.after_wait(told(None)) > 0
    assert plan.begin_try().wait is None


def test_a_draw_that_got_no_answer_is_tried_again(system):
    plan = plan_at(system)
    plan.begin_try()
    plan.after_wait(told(None))
    assert plan.begin_try().wait == 0
    plan.after_error(ServiceUnavailable("down", service="http://service", retryable=True))
    assert plan.begin_try().wait is None
    assert plan.after_wait(told(None)) == 0
    assert plan.begin_try().wait == 0


def test_a_service_that_answers_a_draw_without_a_ticket_has_no_line(system):
    plan = plan_at(system)
    plan.begin_try()
    plan.after_wait(told(None))
    assert plan.begin_try().wait == 0
    assert plan.after_wait(told(None)) == 60
    plan.begin_try()
    assert plan.after_wait(told(None)) == 60


def test_where_only_waits_move_the_clock_nothing_is_held_not_even_with_a_ticket():
    system = TurnedSystem()
    plan = plan_at(system, ticket="ticket")
    plan.begin_try()
    plan.after_wait(told(in_line()))
    system.turn(LEFT - 1)
    assert plan.begin_try().wait is None


def test_who_finds_no_room_to_be_held_has_used_one_try(system):
    plan = plan_at(system, max_retries=1)
    plan.begin_try()
    plan.after_wait(told(in_line()))
    system.turn(LEFT - 1)
    plan.begin_try()
    assert 1 <= plan.has_no_room() <= 1.3
    assert plan.out_of_tries


def test_an_hour_that_begins_later_is_waited_for_in_line_without_polls(system):
    plan = plan_at(system, not_before=TURN, max_retries=0)
    assert plan.until_fresh_hour(TURN, has_line=True) is None
    drawn = plan.begin_try()
    assert (drawn.wait, drawn.not_before) == (0, TURN)
    # In the middle of the window, and not at the next poll.
    assert plan.after_wait(told(in_line())) == pytest.approx(LEFT - 8, abs=0.5)
    system.turn(LEFT - 7)
    assert plan.until_fresh_hour(TURN, has_line=True) is None
    assert plan.begin_try().wait == pytest.approx(9.4, abs=0.2)


@pytest.mark.parametrize("code", ["invalid_request", "too_many_waiting"])
def test_an_hour_that_the_line_has_no_place_for_is_waited_for_without_it(system, code):
    plan = plan_at(system, not_before=TURN)
    plan.until_fresh_hour(TURN, has_line=True)
    plan.begin_try()
    assert plan.is_refused_place(InvalidRequest("no", service="http://service", code=code))
    plan.place.refuse()
    assert plan.until_fresh_hour(TURN, has_line=True) == pytest.approx(LEFT, abs=1)
    again = InvalidRequest("no", service="http://service", code="invalid_request")
    assert not plan.is_refused_place(again)


def test_a_service_that_may_have_no_line_is_not_asked_before_the_hour(system):
    plan = plan_at(system, not_before=TURN)
    assert plan.until_fresh_hour(TURN) == pytest.approx(LEFT, abs=1)


def test_who_may_come_back_does_not_wait_for_its_moment(system):
    plan = plan_at(system, come_back=0.0, timeout=5.0)
    plan.begin_try()
    assert plan.after_wait(told(None)) == 0
    plan.begin_try()
    with pytest.raises(NoAppIdAvailable) as caught:
        plan.after_wait(told(in_line(3)))
    error = caught.value
    # In the middle of the window's first half.
    assert error.come_back_at == pytest.approx(TURN - 11.5, abs=0.1)
    assert error.retry_after == pytest.approx(LEFT - 11.5, abs=0.2)
    assert (error.place, error.waiting) == (3, 9)
    assert plan.keeps_place(error)
    assert plan.keeps_place(ServiceUnavailable("down", service="http://service"))
    assert not plan.keeps_place(KeyboardInterrupt())


def test_who_comes_back_a_moment_early_waits_and_shows_that_it_is_there(system):
    moment = TURN - 12
    plan = plan_at(system, come_back=moment, timeout=5.0, ticket="ticket")
    with pytest.raises(NoAppIdAvailable, match="not its turn yet") as caught:
        plan.until_fresh_hour(TURN)
    assert caught.value.come_back_at == moment
    plan = plan_at(system, 12.5, come_back=moment, timeout=5.0, ticket="ticket")
    assert plan.until_fresh_hour(TURN) == pytest.approx(0.5, abs=0.1)
    system.turn(0.6)
    assert plan.until_fresh_hour(TURN) is None
    asking = plan.begin_try()
    assert (asking.wait, asking.ticket) == (0.0, "ticket")
    assert plan.after_wait(told(in_line())) < 0.2, "it is due, and in its window"
    system.turn(0.2)
    # Longer than its timeout: the turn is what it came for.
    assert plan.begin_try().wait == pytest.approx(12 + 2.4 - 0.3, abs=0.2)
    assert plan.patience is None


def test_who_comes_back_and_is_not_due_is_sent_back_until_a_grace_after_the_turn(system):
    plan = plan_at(system, 11.0, come_back=TURN - 12, timeout=5.0, ticket="ticket")
    plan.begin_try()
    place = dataclasses.replace(in_line(9), due=False)
    with pytest.raises(NoAppIdAvailable) as caught:
        plan.after_wait(told(place))
    assert caught.value.come_back_at == TURN + 2.4


def test_a_moment_further_away_than_an_hour_was_told_by_nobody(system):
    plan = plan_at(system, come_back=TURN + 7200, ticket="ticket")
    assert plan.until_fresh_hour(TURN) is None
