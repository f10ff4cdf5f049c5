"""The one rule of the line, apart from any database: whatever comes in whatever order and parts."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client.server.hours import Hour, ShortHours
from appid_manager_client.server.line import (
    Interval,
    Places,
    Request,
    Reservations,
    Stock,
    Ticket,
    available_at,
    check_in,
    choose,
    forgotten_before,
    grace,
    presence_after_gap,
    presence_of_held,
)

HOUR = Hour(100_000, 200_000)
NOW = 100_000
GRACE = 2_000
PRESENT = Interval(NOW, NOW + GRACE)


@dataclass
class Turn:
    """One product just after a turn, and a reckoning of who should get what there is."""

    free: int
    present: set[int]
    granted: list[int | None] = field(default_factory=list)

    def ask(self, numbers: list[int | None]) -> None:
        """Have a batch asked for by tickets; `None` has none."""
        tickets = [Ticket(number, present=PRESENT) for number in self.present]
        requests = [Request(number) for number in numbers]
        chosen = choose(requests, tickets, Stock(self.free), NOW, HOUR)
        for one in chosen:
            number = numbers[one.request]
            self.granted.append(number)
            self.present.discard(number or -1)
        self.free -= len(chosen)


numbers = st.integers(1, 12)


@given(
    free=st.integers(0, 6),
    present=st.sets(numbers),
    dead=st.sets(numbers),
    late=st.sets(st.integers(20, 25)),
    newcomers=st.integers(0, 3),
    data=st.data(),
)
def test_whatever_the_order_and_the_batches_the_first_who_are_present_get_it(
    free, present, dead, late, newcomers, data
):
    askers: list[int | None] = [*(present - dead), *late, *[None] * newcomers]
    order = data.draw(st.permutations(askers))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=len(askers), max_size=len(askers)))
    turn = Turn(free, set(present))
    while order:
        size = sizes.pop()
        turn.ask(order[:size])
        order = order[size:]
    due = sorted(present)[:free]
    got = [number for number in turn.granted if number is not None and number < 20]
    assert sorted(got) == [number for number in due if number not in dead]
    # Others have at most what is more than all who are present could take.
    others = [number for number in turn.granted if number is None or number >= 20]
    assert len(others) <= max(0, free - len(present))


@given(free=st.integers(0, 6), present=st.sets(numbers), late=st.sets(st.integers(20, 25)))
def test_in_one_batch_the_late_come_after_the_present_and_before_newcomers(free, present, late):
    turn = Turn(free, set(present))
    turn.ask([None, None, *sorted(late, reverse=True), *sorted(present, reverse=True)])
    assert turn.granted == [*sorted(present), *sorted(late), None, None][:free]


@given(
    stock=st.builds(Stock, st.integers(0, 5), st.integers(0, 5)),
    waiters=st.lists(st.tuples(numbers, st.booleans(), st.booleans()), unique_by=lambda w: w[0]),
    newcomers=st.lists(st.booleans(), max_size=4),
)
def test_nobody_gets_what_there_is_not(stock, waiters, newcomers):
    tickets = [
        Ticket(number, forced, PRESENT if is_present else None)
        for number, forced, is_present in waiters
    ]
    requests = [Request(one.number, one.forced) for one in tickets]
    requests += [Request(None, forced) for forced in newcomers]
    chosen = choose(requests, tickets, stock, NOW, HOUR)
    assert len({one.request for one in chosen}) == len(chosen)
    assert all(requests[one.request].forced for one in chosen if one.used)
    used = sum(one.used for one in chosen)
    assert used <= stock.used
    assert len(chosen) - used <= stock.free
    # Nobody who is present is overtaken by one who could have had the same.
    granted = {requests[one.request].ticket for one in chosen}
    for forced in (False, True):
        kind = sorted(one.number for one in tickets if one.forced is forced and one.present)
        assert sorted(granted & set(kind)) == kind[: len(granted & set(kind))]


def test_force_takes_what_was_used_where_a_plain_waiter_is_before_it():
    tickets = [Ticket(1, False, PRESENT), Ticket(2, True, PRESENT)]
    asked = [Request(2, forced=True), Request(1)]
    first, second = choose(asked, tickets, Stock(1, 1), NOW, HOUR)
    assert (first.request, first.used) == (1, False)
    assert (second.request, second.used) == (0, True)


@pytest.mark.parametrize(
    ("present", "now", "expected"),
    [
        (None, NOW, False),
        (PRESENT, NOW - 1, False),
        (PRESENT, NOW, True),
        (PRESENT, NOW + GRACE - 1, True),
        (PRESENT, NOW + GRACE, False),
        # Written before the clock was set back.
        (Interval(NOW, NOW + 60_001), NOW, False),
        (Interval(NOW, NOW + 60_000), NOW, True),
    ],
)
def test_who_is_present(present, now, expected):
    assert Ticket(1, present=present).is_present(now) is expected


@pytest.mark.parametrize(
    ("length", "expected"), [(3_600_000, 2_000), (20_000, 2_000), (4_000, 400)]
)
def test_the_grace_is_two_seconds_and_a_tenth_of_a_short_hour(length, expected):
    assert grace(Hour(0, length)) == expected


@pytest.mark.parametrize(
    ("length", "before", "latest"),
    [(3_600_000, 15_000, 1_000), (30_000, 6_000, 1_000), (6_000, 1_200, 400)],
)
def test_the_window_to_come_back_in(length, before, latest):
    hour = Hour(0, length)
    expected = (length - before, length - latest, length + grace(hour) * 6 // 5)
    assert check_in(length, hour) == expected


def test_who_is_held_over_the_turn_is_present_from_it_on_for_a_grace():
    ticket, turn = Ticket(1), HOUR.end
    assert presence_of_held(ticket, turn - 10, turn + 1, turn, GRACE) == (turn, turn + GRACE)
    assert presence_of_held(ticket, turn - 10, turn, turn, GRACE) is None


def test_who_lost_and_is_held_on_stays_present_without_a_break():
    ticket, end = Ticket(1, present=PRESENT), NOW + GRACE
    again = presence_of_held(ticket, NOW + 5, end + 400, end, GRACE)
    assert again == (NOW, end + GRACE)


def test_a_forced_waiter_is_present_for_a_grace_from_each_look():
    ticket = Ticket(1, forced=True)
    first = presence_of_held(ticket, NOW, NOW + 20_000, NOW, GRACE)
    assert first == (NOW, NOW + GRACE)
    ticket = Ticket(1, forced=True, present=first)
    again = presence_of_held(ticket, NOW + 1_000, NOW + 20_000, NOW + 1_000, GRACE)
    assert again == (NOW, NOW + 1_000 + GRACE)


def test_a_gap_gives_a_grace_to_who_was_heard_of_since_the_gap_before():
    heard, dead = Ticket(1, heard=NOW - 10), Ticket(2, heard=NOW - 30)
    assert presence_after_gap(heard, NOW, NOW - 20, GRACE) == PRESENT
    assert presence_after_gap(dead, NOW, NOW - 20, GRACE) is None
    assert presence_after_gap(Ticket(3, True, heard=NOW), NOW, 0, GRACE) is None


def test_a_gap_keeps_the_presence_at_a_turn_that_is_still_to_come():
    later = Interval(NOW + 10_000, NOW + 12_000)
    assert presence_after_gap(Ticket(1, present=later, heard=NOW), NOW, 0, GRACE) == later
    soon = Interval(NOW + 1_000, NOW + 1_000 + GRACE)
    joined = presence_after_gap(Ticket(1, present=soon, heard=NOW), NOW, 0, GRACE)
    assert joined == (NOW, soon.end)


def test_what_a_wait_is_about():
    kept = Reservations([Ticket(1, present=PRESENT), Ticket(2, present=PRESENT)], NOW)
    turn = HOUR.end

    def when(request: Request, stock: Stock) -> int:
        return available_at(request, kept, stock, NOW, HOUR, turn)

    assert when(Request(), Stock(0)) == turn
    assert when(Request(), Stock(1)) == NOW + GRACE
    assert when(Request(not_before=NOW + 9_000), Stock(1)) == NOW + 9_000
    assert when(Request(forced=True), Stock(0)) == NOW
    assert when(Request(min_remaining=100_001), Stock(1)) == turn
    alone = Reservations([Ticket(1, present=PRESENT)], NOW)
    assert available_at(Request(1), alone, Stock(1), NOW, HOUR, turn) == NOW


@given(st.lists(numbers, unique=True), numbers, st.integers(0, 12))
def test_a_place_is_how_many_stand_before_and_one(waiting, number, appids):
    place = Places(sorted(waiting), appids).of(number)
    before = sum(other < number for other in waiting)
    assert place == (before + 1, len({*waiting, number}), before < appids)


def test_who_was_not_heard_of_over_two_turns_and_a_minute_is_forgotten():
    real, short = ShortHours(3600), ShortHours(10)
    now = 10 * 3_600_000 + 5
    assert forgotten_before(now, real) == 9 * 3_600_000
    assert forgotten_before(now, short) == now - 60_000
