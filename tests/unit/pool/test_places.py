"""A pool's places in line: which wishes draw, are held, are tried again, and are dropped."""

from __future__ import annotations

import pytest

from appid_manager_client.pool.places import PlacesInLine, Wish
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.models import Place, Wait
from tests.support.machine import HeldSystem, TurnedSystem

TURN = 1_700_006_400.0
LEFT = 60.0


@pytest.fixture
def system() -> HeldSystem:
    return HeldSystem()


@pytest.fixture
def places(system: HeldSystem) -> PlacesInLine:
    """Those of a pool whose service has a line; the hour turns in a minute."""
    return places_at(system)


def places_at(system: TurnedSystem) -> PlacesInLine:
    clock = ServerClock(system)
    now = system.monotonic()
    clock.observe(round((TURN - LEFT) * 1000), now, now)
    clock.observe_hour(round(TURN * 1000))
    made = PlacesInLine(clock, system)
    made.service_has_line = True
    return made


def told(number: int | None, *, turn: float = TURN) -> Wait:
    """A 202 with that place."""
    at = round(turn * 1000)
    place = None
    if number is not None:
        ticket = f"ticket-{number}"
        place = Place(ticket, number, 9, True, at - 15_000, at - 1_000, at + 2_400)
    return Wait("no_available", 300, at, at - 60_000, at, place)


def draw(places: PlacesInLine, system: TurnedSystem, count: int, first: int = 1) -> list[Wish]:
    """Have that many wishes draw their tickets."""
    wishes = places.take_draws(count, TURN, system.monotonic(), 8)
    for number, wish in enumerate(wishes, first):
        places.returned(wish)
        assert not places.answered(wish, told(number), system.monotonic())
    return wishes


def test_a_wish_draws_a_ticket_for_the_turn_and_nothing_before_it(places, system):
    (wish,) = places.take_draws(1, TURN, system.monotonic(), 8)
    assert (wish.asking.wait, wish.asking.ticket, wish.asking.not_before) == (0.0, None, TURN)
    assert places.take_draws(1, TURN, system.monotonic(), 8) == []


def test_a_wish_is_held_over_the_turn_when_its_moment_has_come(places, system):
    (wish,) = draw(places, system, 1)
    assert places.take_holds(system.monotonic(), 8) == []
    due = places.next_due(system.monotonic(), system.monotonic() + LEFT - 5)
    # In the middle of the window it would be eight seconds; nothing is held before the margin.
    assert due == pytest.approx(system.monotonic() + LEFT - 5)
    system.turn(LEFT - 7)
    assert places.take_holds(system.monotonic(), 8) == [wish]
    asking = wish.asking
    assert (asking.ticket, asking.not_before) == ("ticket-1", TURN)
    assert asking.wait == pytest.approx(9.4, abs=0.1)


def test_no_more_are_held_than_there_is_room_for(places, system):
    draw(places, system, 5)
    system.turn(LEFT - 1)
    assert places.take_holds(system.monotonic(), -1) == []
    assert len(places.take_holds(system.monotonic(), 2)) == 2


def test_what_is_held_keeps_nobody_from_drawing_but_draws_are_bounded(places, system):
    draw(places, system, 8)
    system.turn(LEFT - 1)
    assert len(places.take_holds(system.monotonic(), 8)) == 8
    assert len(places.take_draws(30, TURN, system.monotonic(), 8)) == 8
    assert places.take_draws(30, TURN, system.monotonic(), 8) == []


def test_the_last_in_line_are_dropped_first_and_what_is_on_the_wire_at_last(places, system):
    wishes = draw(places, system, 3)
    system.turn(LEFT - 1)
    (held,) = places.take_holds(system.monotonic(), 1)
    assert held is wishes[0]
    places.drop_surplus(2)
    assert [wish.dropped for wish in wishes] == [False, False, True]
    places.drop_surplus(0)
    assert all(wish.dropped for wish in wishes)
    places.returned(held)
    places.failed(held, system.monotonic(), system.monotonic())
    assert places.next_due(system.monotonic(), 0.0) is None, "what is dropped never comes back"


def test_who_got_nothing_at_the_turn_stands_where_it_stood_for_the_next_one(places, system):
    (wish,) = draw(places, system, 1)
    system.turn(LEFT - 1)
    places.take_holds(system.monotonic(), 1)
    system.turn(1.1)
    places.returned(wish)
    assert places.answered(wish, told(1, turn=TURN + 3600), system.monotonic())
    assert places.first is wish.place.found
    assert places.take_first(system.monotonic()) is wish
    assert (wish.asking.wait, wish.asking.ticket) == (None, "ticket-1"), "it looks"


def test_who_is_answered_before_the_turn_comes_again_soon(places, system):
    (wish,) = draw(places, system, 1)
    system.turn(LEFT - 5)
    now = system.monotonic()
    places.take_holds(now, 1)
    places.returned(wish)
    assert not places.answered(wish, told(1), now)
    assert places.take_holds(now, 1) == []
    system.turn(0.5)
    assert places.take_holds(system.monotonic(), 1) == [wish]


def test_a_call_that_fails_is_tried_again_soon_near_the_turn_and_else_when_it_may(places, system):
    first, second = draw(places, system, 2)
    now = system.monotonic()
    places.failed(first, now + 7.0, now)
    assert first.retry_at == now + 7.0
    system.turn(LEFT - 1)
    now = system.monotonic()
    places.failed(second, now + 7.0, now)
    assert now < second.retry_at <= now + 0.5


def test_who_finds_no_room_in_the_process_comes_just_after_the_turn(places, system):
    (wish,) = draw(places, system, 1)
    system.turn(LEFT - 1)
    places.take_holds(system.monotonic(), 1)
    places.returned(wish)
    places.had_no_room(wish, system.monotonic())
    assert 1.0 <= wish.retry_at - system.monotonic() <= 1.3
    assert places.take_holds(system.monotonic(), 1) == []


def test_a_line_that_is_full_is_left_alone_until_the_turn(places, system):
    standing = draw(places, system, 1)
    (refused,) = places.take_draws(2, TURN, system.monotonic(), 8)
    places.returned(refused)
    places.refuse(refused, TURN)
    assert places.take_draws(2, TURN, system.monotonic(), 8) == []
    assert not standing[0].dropped
    assert len(places.take_draws(2, TURN + 3600, system.monotonic(), 8)) == 1


def test_a_ticket_that_the_service_does_not_know_any_more_is_dropped(places, system):
    (wish,) = draw(places, system, 1)
    assert places.take_first(system.monotonic()) is wish
    places.returned(wish)
    assert places.answered(wish, told(None), system.monotonic())
    assert wish.dropped


def test_a_service_that_may_have_no_line_is_asked_only_where_a_grant_is_welcome(places, system):
    places.service_has_line = None
    assert not places.may_stand(exhausted=False)
    assert places.may_stand(exhausted=True)
    (wish,) = places.take_draws(1, TURN, system.monotonic(), 8)
    assert (wish.asking.wait, wish.asking.not_before) == (0.0, None)
    places.service_has_line = False
    assert not places.may_stand(exhausted=True)


def test_where_only_waits_move_the_clock_nobody_stands_in_line():
    assert not places_at(TurnedSystem()).may_stand(exhausted=True)
