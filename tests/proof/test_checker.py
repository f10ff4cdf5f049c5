"""The checker finds each kind of wrong that is planted, and nothing where all is right."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from .checker import (
    Kind,
    Wrong,
    check_acknowledged,
    check_beliefs,
    check_history,
    check_turn,
)
from .records import Believed, BrokenRecord, Recorded, Waited, read_beliefs

HOUR = 30_000
GRANTED = 90_000
"""An instant, in milliseconds, at which an hour begins."""


def recorded(
    start: int = GRANTED,
    stop: int | None = GRANTED + 2_000,
    ended: str | None = "released",
    fence: int = 7,
) -> Recorded:
    return Recorded("a", start, stop, ended, f"lease {start}", fence)


def believed(
    start: int = GRANTED,
    until: float = 11.0,
    fence: int = 7,
    released_at: int | None = None,
    since: float = 10.0,
) -> Believed:
    return Believed("a", start, since, until, f"lease {start}", fence, released_at)


def wrongs(history: list[Recorded], beliefs: list[Believed]) -> list[Wrong]:
    return [
        *check_history(history, lambda moment: moment // HOUR),
        *check_acknowledged(history, beliefs),
        *check_beliefs(beliefs),
    ]


@pytest.mark.parametrize(
    ("history", "beliefs"),
    [
        pytest.param(
            [recorded(), recorded(GRANTED + HOUR, GRANTED + HOUR + 1, fence=8)],
            [believed(), believed(GRANTED + HOUR, until=41.0, fence=8, since=40.0)],
            id="an AppID that comes round in the next hour",
        ),
        pytest.param([recorded()], [], id="a grant whose answer nobody heard"),
        pytest.param(
            [recorded(stop=GRANTED + 10_000, ended="expired")],
            [believed(released_at=GRANTED + 10_001)],
            id="a release that was sent again until the ttl was over",
        ),
        pytest.param(
            [recorded(stop=GRANTED + 10_000, ended="expired")],
            [believed()],
            id="a holder that was killed",
        ),
    ],
)
def test_what_is_all_right_is_not_named(history: list[Recorded], beliefs: list[Believed]) -> None:
    assert wrongs(history, beliefs) == []


LATER = recorded(GRANTED + HOUR, GRANTED + HOUR + 1, fence=8)
PLANTED: dict[Kind, tuple[list[Recorded], list[Believed]]] = {
    Kind.IN_USE_AT_THE_END: ([recorded(stop=None, ended=None)], []),
    Kind.TWO_HOLDERS: (
        [recorded(stop=GRANTED + HOUR + 9), recorded(GRANTED + HOUR + 8, GRANTED + HOUR + 20)],
        [],
    ),
    Kind.TWICE_AN_HOUR: ([recorded(), recorded(GRANTED + 2_001, GRANTED + 2_002, fence=8)], []),
    Kind.ENDS_BEFORE_IT_BEGINS: ([recorded(stop=GRANTED - 1)], []),
    Kind.FENCE: ([recorded(), recorded(GRANTED + HOUR, GRANTED + HOUR + 1)], []),
    Kind.LOST_GRANT: ([], [believed()]),
    Kind.OTHER_LEASE: ([recorded()], [believed(fence=6)]),
    Kind.LOST_RELEASE: (
        [recorded(stop=GRANTED + 10_000, ended="expired")],
        [believed(released_at=GRANTED + 9_999)],
    ),
    Kind.TWO_BELIEVERS: (
        [recorded(), LATER],
        [believed(until=12.0), believed(GRANTED + HOUR, until=13.0, fence=8, since=11.0)],
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found_by_its_kind(kind: Kind) -> None:
    found = {wrong.kind for wrong in wrongs(*PLANTED[kind])}
    # Two leases at once have fences in no order, too.
    assert kind in found and found <= {kind, Kind.FENCE}


def waited(drew: int, held: tuple[int, int] | None = None, granted: int | None = None) -> Waited:
    return Waited(drew - 10, drew, () if held is None else (held,), granted)


OVER = (GRANTED - 5_000, GRANTED + 50)


@pytest.mark.parametrize(
    ("waits", "overtaken"),
    [
        ([waited(100, OVER), waited(200, OVER, GRANTED + 3)], 1),
        ([waited(100, OVER, GRANTED + 3), waited(200, OVER)], 0),
        ([waited(100, None), waited(200, OVER, GRANTED + 3)], 0),  # it wasn't there
        ([waited(100, (GRANTED + 1, GRANTED + 50)), waited(200, OVER, GRANTED + 3)], 0),  # late
        ([waited(100, OVER), waited(105, OVER, GRANTED + 3)], 0),  # who drew first, nobody knows
        ([waited(100, OVER), waited(200, OVER, GRANTED + HOUR)], 0),  # at another turn
        ([waited(100, OVER, GRANTED - HOUR), waited(200, OVER, GRANTED + 3)], 0),  # before
        ([waited(n, OVER, GRANTED + n if n > 300 else None) for n in range(100, 600, 20)], 11),
    ],
)
def test_who_is_overtaken_on_time_is_found(waits: list[Waited], overtaken: int) -> None:
    found = check_turn(waits, GRANTED, GRANTED + HOUR)
    assert [wrong.kind for wrong in found] == [Kind.OVERTAKEN] * overtaken


def test_every_kind_of_wrong_is_planted_once() -> None:
    assert {*PLANTED, Kind.OVERTAKEN} == set(Kind)
    assert len(Kind) == 10


def test_one_belief_that_holds_many_others_is_found_with_each_of_them() -> None:
    beliefs = [believed(until=100.0)] + [believed(since=20.0 + n, until=20.5 + n) for n in range(5)]
    assert len(check_beliefs(beliefs)) == 5


def test_a_long_run_is_looked_at_once() -> None:
    history = [
        Recorded(f"a{appid}", hour * HOUR, hour * HOUR + 5, "released", f"{appid} {hour}", hour)
        for appid in range(200)
        for hour in range(1, 501)
    ]
    random.Random(7).shuffle(history)
    looks = 0

    def hour_of(moment: int) -> int:
        nonlocal looks
        looks += 1
        return moment // HOUR

    assert check_history(history, hour_of) == []
    assert looks <= 2 * len(history)
    history.append(Recorded("a7", 7 * HOUR + 3, 7 * HOUR + 9, "released", "planted", 7))
    assert {wrong.kind for wrong in check_history(history, hour_of)} == {
        Kind.TWO_HOLDERS,
        Kind.FENCE,
    }


def write(path: Path, *notes: object, end: str = "\n") -> Path:
    lines = [note if isinstance(note, str) else json.dumps(note) for note in notes]
    path.write_text("\n".join(lines) + end)
    return path


HELD = {"what": "held", "appid": "a", "at": 10.0, "start": GRANTED}
ENDING = {"what": "ending", "appid": "a", "at": 11.0}


def test_the_notes_of_a_process_say_what_each_holder_believed(tmp_path: Path) -> None:
    held = {**HELD, "lease": f"lease {GRANTED}", "fence": 7}
    lost = {"what": "lost", "at": 11.5, "appid": "a"}
    released = {"what": "released", "at": 12.0, "wall": GRANTED + 2_000, "appid": "a"}
    file = write(tmp_path / "1", held, ENDING, lost, released)
    assert read_beliefs([file]) == [believed(released_at=GRANTED + 2_000)]


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    (note,) = read_beliefs([write(tmp_path / "1", HELD, ENDING, '{"what": "rel', end="")])
    assert note.until == 11.0


@pytest.mark.parametrize(
    ("notes", "line", "problem"),
    [
        (['{"what": '], 1, "no JSON"),
        ([HELD, {"what": "ending", "appid": "a"}], 2, "has no 'at'"),
        ([HELD, {**ENDING, "appid": "b"}], 2, "ending of 'b', which was never held"),
        ([HELD, {**ENDING, "what": "gone"}], 2, "what: 'gone' is none of"),
        ([{**HELD, "start": "soon"}], 1, "invalid literal"),
        ([HELD, [1, 2]], 2, "list indices"),
        ([{**HELD, "at": None}], 1, "float"),
    ],
)
def test_a_broken_record_says_what_is_wrong_and_where(
    tmp_path: Path, notes: list[object], line: int, problem: str
) -> None:
    file = write(tmp_path / "7", *notes)
    with pytest.raises(BrokenRecord, match=f"{file}:{line}: .*{problem}"):
        read_beliefs([file])
