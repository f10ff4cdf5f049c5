"""The line in the store: tickets, places, presence, and who is granted at a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from appid_manager_client.server.operations import (
    Abandon,
    Acquire,
    Exhausted,
    Granted,
    InLine,
    Init,
    Leave,
    Outcome,
    Refused,
    Release,
    Released,
    Tend,
    Tended,
)

from .world import HOUR_MS, World

GRACE = 2_000
WAIT = 5_000


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Two AppIDs, both in use, in the middle of an hour."""
    made = World(database_url)
    made.now += HOUR_MS // 2
    made.do(Init("p", {"a": 1, "b": 2}), Acquire("p"), Acquire("p"))
    made.do(Tend())
    yield made
    made.store.close()


def turn(world: World) -> int:
    """The next turn of the hour."""
    return world.now - world.now % HOUR_MS + HOUR_MS


def draw(world: World, name: str, **more: Any) -> InLine:
    """Have somebody draw a ticket, without being held."""
    return in_line(world.do(Acquire("p", request_id=name, hold_until=world.now, **more)))


def held(name: str, until: int, **more: Any) -> Acquire:
    return Acquire("p", request_id=name, hold_until=until, **more)


def in_line(outcome: Outcome) -> InLine:
    assert isinstance(outcome, Exhausted), outcome
    assert outcome.line is not None
    return outcome.line


def hold_over_the_turn(world: World, *names: str) -> int:
    """Hold requests over the next turn, release what is in use, and turn the hour."""
    at = turn(world)
    world.now = at - 3_500
    world.do(Tend())
    world.now = at - 1_750
    world.do(Tend())
    for name in names:
        in_line(world.do(held(name, at + WAIT)))
    world.do(Release("p", "a"), Release("p", "b"))
    world.now = at
    world.do(Tend())
    return at


def who_got_one(names: list[str], outcomes: list[Outcome]) -> list[str]:
    return [name for name, got in zip(names, outcomes, strict=True) if isinstance(got, Granted)]


def test_a_place_is_kept_by_the_request_and_by_the_ticket(world):
    first, second = draw(world, "r1"), draw(world, "r2")
    assert (first.place, first.waiting, first.due) == (1, 1, True)
    assert (second.place, second.waiting, second.due) == (2, 2, True)
    third = draw(world, "r3")
    assert (third.place, third.waiting, third.due) == (3, 3, False)
    assert draw(world, "r1").ticket == first.ticket
    again = draw(world, "r9", ticket=second.ticket)
    assert (again.ticket, again.place, again.waiting) == (second.ticket, 2, 3)


def test_a_request_that_shows_its_own_ticket_keeps_its_place(world):
    first = draw(world, "r1")
    draw(world, "r2")
    for hold_until in (world.now, world.now + WAIT):
        again = in_line(world.do(held("r1", hold_until, ticket=first.ticket)))
        assert (again.ticket, again.number, again.place) == (first.ticket, first.number, 1)
    assert draw(world, "r2").place == 2


def test_a_request_that_comes_with_another_ticket_leaves_its_own_place(world):
    first, second = draw(world, "r1"), draw(world, "r2")
    assert draw(world, "r2", ticket=first.ticket).place == 1
    left = draw(world, "r3")
    assert (left.place, left.waiting) == (2, 2)
    assert left.ticket != second.ticket


def test_when_to_come_back_is_told_by_the_turn(world):
    at = turn(world)
    place = draw(world, "r1")
    # An hour of 100 s: a fifth of it would be longer than 15 s.
    assert place.check_in == (at - 15_000, at - 1_000, at + GRACE * 6 // 5)


def test_a_look_draws_nothing_and_hears_its_place_if_it_has_one(world):
    looked = world.do(Acquire("p", request_id="r1"))
    assert isinstance(looked, Exhausted)
    assert looked.line is None
    ticket = draw(world, "r1").ticket
    draw(world, "r2")
    place = in_line(world.do(Acquire("p", request_id="r1")))
    assert (place.ticket, place.place, place.waiting) == (ticket, 1, 2)
    assert in_line(world.do(Acquire("p", ticket=ticket))).place == 1


def test_those_who_are_held_are_granted_in_the_order_of_their_tickets(world):
    for name in ("r1", "r2", "r3"):
        draw(world, name)
    at = hold_over_the_turn(world, "r3", "r2", "r1")
    # The later ones come first, each in a batch of its own.
    for name, expected in (("r3", Exhausted), ("r2", Granted), ("r1", Granted)):
        assert isinstance(world.do(held(name, at + WAIT)), expected), name
    third = world.do(held("r3", at + WAIT))
    assert isinstance(third, Exhausted)
    assert third.available_at == at + HOUR_MS
    assert in_line(third).place == 1


def test_what_is_free_is_kept_for_those_who_are_present(world):
    draw(world, "r1")
    at = hold_over_the_turn(world, "r1")
    # Two are free, and one of them is kept.
    assert who_got_one(["x", "y"], world.do(Acquire("p"), Acquire("p"))) == ["x"]
    refused = world.do(Acquire("p"))
    assert isinstance(refused, Exhausted)
    assert (refused.reason, refused.available_at) == ("no_available", at + GRACE)
    world.now += 1_999
    assert isinstance(world.do(held("r1", at + WAIT)), Granted)


def test_the_dead_delay_the_others_by_one_grace_in_all(world):
    names = [f"r{number}" for number in range(6)]
    for name in names:
        draw(world, name)
    at = hold_over_the_turn(world, *names)
    # The first four were killed while they were held.
    last = [held(name, at + WAIT) for name in names[4:]]
    waiting = world.do(*last)
    assert who_got_one(names[4:], waiting) == []
    assert [one.available_at for one in waiting] == [at + GRACE] * 2
    world.now = at + GRACE
    assert who_got_one(names[4:], world.do(*last)) == names[4:]


def test_who_is_late_keeps_its_place_and_takes_what_is_left(world):
    for name in ("late", "r2"):
        draw(world, name)
    at = hold_over_the_turn(world, "r2")
    # Two are free, and one is kept for the waiter who is present; newcomers come after the late.
    newcomer, late = Acquire("p", request_id="new"), held("late", at + WAIT)
    outcomes = world.do(newcomer, late)
    assert who_got_one(["new", "late"], outcomes) == ["late"]
    assert isinstance(world.do(held("r2", at + WAIT)), Granted)


def test_who_was_late_stands_at_the_next_turn_where_it_stood(world):
    for name in ("r1", "r2", "r3"):
        draw(world, name)
    at = hold_over_the_turn(world, "r2", "r3")
    late = world.do(held("r1", at + WAIT))
    assert in_line(late).place == 1
    assert late.available_at == at + GRACE
    assert isinstance(world.do(held("r2", at + WAIT)), Granted)
    assert isinstance(world.do(held("r3", at + WAIT)), Granted)
    at = hold_over_the_turn(world, "r1", "new 1", "new 2")
    got = world.do(*[held(name, at + WAIT) for name in ("new 2", "new 1", "r1")])
    assert who_got_one(["new 2", "new 1", "r1"], got) == ["new 1", "r1"]


def test_a_grant_uses_the_ticket_up(world):
    ticket = draw(world, "r1").ticket
    draw(world, "r2")
    at = hold_over_the_turn(world, "r1", "r2")
    assert isinstance(world.do(held("r1", at + WAIT)), Granted)
    again = in_line(world.do(held("r3", at + WAIT, ticket=ticket)))
    assert again.ticket != ticket
    assert again.place == 2


def test_one_ticket_never_serves_two_requests_of_a_batch(world):
    ticket = draw(world, "r1").ticket
    at = hold_over_the_turn(world, "r1")
    outcomes = world.do(
        held("run 1", at + WAIT, ticket=ticket), held("run 2", at + WAIT, ticket=ticket)
    )
    assert len({got.appid for got in outcomes if isinstance(got, Granted)}) == 2


@pytest.mark.parametrize("how", ["ticket", "request"])
def test_who_leaves_is_in_nobody_s_way(world, how):
    ticket = draw(world, "r1").ticket
    draw(world, "r2")
    hold_over_the_turn(world, "r1", "r2")
    left = world.do(Leave("p", ticket) if how == "ticket" else Abandon("p", "r1"))
    assert left == Released("p", None, world.now)
    # Of two that are free, only one is kept now.
    assert isinstance(world.do(Acquire("p")), Granted)
    assert isinstance(world.do(Acquire("p")), Exhausted)


def test_leaving_with_an_unknown_ticket_or_for_another_product_changes_nothing(world):
    ticket = draw(world, "r1").ticket
    for operation in (Leave("q", ticket), Leave("p", "unknown")):
        assert isinstance(world.do(operation), Released)
    assert draw(world, "r1").ticket == ticket


def test_after_a_restart_everybody_has_one_grace_to_come_back(world):
    draw(world, "r1")
    draw(world, "r2")
    at = turn(world)
    world.do(Release("p", "a"), Release("p", "b"))
    # The service was down over the turn.
    world.store.close()
    world.now = at + 10_000
    world.store = world.open()
    world.do(Tend())
    assert isinstance(world.do(Acquire("p")), Exhausted)
    assert isinstance(world.do(held("r2", world.now + WAIT)), Granted)
    world.now += GRACE
    assert isinstance(world.do(Acquire("p")), Granted)


def test_a_second_restart_gives_no_grace_to_who_did_not_come_back(world):
    draw(world, "dead")
    world.do(Release("p", "a"), Release("p", "b"))
    world.now = turn(world)
    for _ in range(2):
        world.store.close()
        world.now += 5_000
        world.store = world.open()
        world.do(Tend())
    assert isinstance(world.do(Acquire("p")), Granted)


def test_looks_that_stood_still_are_a_gap_and_frequent_ones_are_none(world):
    at = hold_over_the_turn(world)
    assert len(who_got_one(["x", "y"], world.do(Acquire("p"), Acquire("p")))) == 2
    draw(world, "r1")
    world.do(Release("p", "a"), Release("p", "b"))
    world.now = at + HOUR_MS
    world.do(Tend())
    assert len(who_got_one(["x", "y"], world.do(Acquire("p"), Acquire("p")))) == 1


def test_who_was_not_heard_of_over_two_turns_is_forgotten(world):
    draw(world, "r1")
    world.now += 60 * HOUR_MS  # the clock was left alone for long enough
    world.do(Tend())
    assert world.do(Tend()) == Tended(world.now, False, {})


def test_places_count_only_who_was_heard_of_since_the_window_of_the_turn_before(world):
    draw(world, "dead")
    world.now = turn(world) - 10_000
    draw(world, "r2")
    assert draw(world, "r2").place == 2
    world.now = turn(world) + 1_000
    world.do(Acquire("p"), Acquire("p"))
    assert (draw(world, "r2").place, draw(world, "r3").place) == (1, 2)


def test_force_stands_in_the_same_line_and_takes_what_was_used_first(world):
    world.do(Release("p", "a"))
    assert isinstance(world.do(Acquire("p", request_id="plain")), Exhausted)
    forced = world.do(held("forced", world.now + WAIT, force=True))
    assert isinstance(forced, Granted)
    waiting = world.do(held("next", world.now + WAIT, force=True))
    assert isinstance(waiting, Exhausted)
    assert waiting.available_at == world.now
    # It is present while it is held, so a newcomer with force gets nothing.
    world.do(Release("p", "a"))
    assert isinstance(world.do(Acquire("p", force=True)), Exhausted)
    assert isinstance(world.do(held("next", world.now + WAIT, force=True)), Granted)


def test_a_forced_waiter_leaves_to_plain_ones_before_it_what_they_can_have(world):
    draw(world, "plain")
    at = hold_over_the_turn(world, "plain")
    assert isinstance(world.do(Acquire("p", request_id="x")), Granted)
    world.do(Release("p", "a"))  # it was used in this hour
    forced = world.do(held("forced", at + WAIT, force=True))
    assert isinstance(forced, Granted)
    assert forced.appid == "a"
    assert isinstance(world.do(held("plain", at + WAIT)), Granted)


def test_nothing_is_granted_before_the_time_that_was_asked_for(world):
    at = hold_over_the_turn(world)
    outcome = world.do(Acquire("p", not_before=at + 500))
    assert isinstance(outcome, Exhausted)
    assert outcome.available_at == at + 500
    world.now = at + 500
    assert isinstance(world.do(Acquire("p", not_before=at + 500)), Granted)


def test_with_too_little_left_of_the_hour_it_counts_as_used_up(world):
    at = hold_over_the_turn(world)
    world.now = at + HOUR_MS - 1_000
    outcome = world.do(Acquire("p", min_remaining_ms=1_001))
    assert isinstance(outcome, Exhausted)
    assert outcome.available_at == at + HOUR_MS
    assert isinstance(world.do(Acquire("p", min_remaining_ms=1_000)), Granted)


def test_what_is_out_of_range_or_belongs_elsewhere_is_refused_by_its_field(world):
    world.do(Init("q", {"c": 3}))
    ticket = draw(world, "r1").ticket
    at = turn(world)
    for operation, field in (
        (Acquire("p", not_before=at + 1), "notBefore"),
        (Acquire("p", min_remaining_ms=HOUR_MS), "minRemaining"),
        (Acquire("q", request_id="r2", hold_until=0, ticket=ticket), "ticket"),
        (Acquire("q", request_id="r1", hold_until=0), "requestId"),
    ):
        outcome = world.do(operation)
        assert isinstance(outcome, Refused), field
        assert (outcome.code, outcome.field) == ("invalid_request", field)


def test_an_unknown_product_has_no_line(world):
    outcome = world.do(Acquire("unknown", request_id="r1", hold_until=world.now))
    assert isinstance(outcome, Refused)
    assert outcome.code == "product_not_found"
    assert world.do(Tend()) == Tended(world.now, False, {})


def test_a_look_after_the_line_tells_what_is_free_and_what_was_used(world):
    world.do(Release("p", "a"))
    draw(world, "r1")
    assert world.do(Tend(frozenset({"p"}))) == Tended(world.now, True, {"p": (0, 1)})


def test_a_line_that_is_full_takes_nobody_more_and_keeps_who_is_in_it(world, monkeypatch):
    monkeypatch.setattr("appid_manager_client.server.store.in_line.MOST_TICKETS", 2)
    first = draw(world, "r1")
    second, third = world.do(*[held(name, world.now) for name in ("r2", "r3")])
    assert in_line(second).place == 2
    assert isinstance(third, Refused)
    assert third.code == "too_many_waiting"
    assert draw(world, "r1").ticket == first.ticket


def test_one_token_that_fills_the_line_leaves_room_for_the_others(world, monkeypatch):
    monkeypatch.setattr("appid_manager_client.server.store.in_line.MOST_TICKETS", 2)
    draw(world, "r1")
    asked = [held(name, world.now) for name in ("r2", "r3", "r4", "r5", "r6")]
    for operation, token in zip(asked, (None, "ci", None, "ci", "ci")):
        operation.token = token
    told = world.do(*asked)
    assert [isinstance(one, Refused) for one in told] == [False, False, True, False, True]
    assert [in_line(told[number]).place for number in (0, 1, 3)] == [2, 3, 4]


def test_a_presence_that_ends_far_ahead_is_not_believed(world):
    draw(world, "r1")
    world.now += 2 * HOUR_MS
    hold_over_the_turn(world, "r1")
    # The clock was wrong, and is set back.
    world.now -= HOUR_MS - 10_000
    world.do(Tend())
    assert isinstance(world.do(Acquire("p", force=True)), Granted)
