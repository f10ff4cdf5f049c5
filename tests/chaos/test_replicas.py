"""Two replicas on PostgreSQL while everything around them fails: the soak, once and quickly.

And that its verdict can be bad: each kind of loss is named.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.soak.replica_accounts import Believed, Recorded, read_notes, wrongs
from tests.soak.replicas import Plan, soak
from tests.support.pgbouncer import find_pgbouncer

HOUR = 30_000
GRANTED = 90_000
"""An instant, in milliseconds, at which an hour begins."""


@pytest.mark.timeout(180)
def test_nothing_is_lost_or_had_twice_whatever_fails(tmp_path: Path) -> None:
    """Kills, stops, a restart of the database, a lost standby, a failover; see `tests/soak`."""
    result = soak(Plan(seed=1, rounds=1, pace=0.1, ttl=2), tmp_path)
    assert result.wrong == []
    assert len(result.trouble.counts) == (6 if find_pgbouncer() is None else 7)
    assert len(result.notes) > 30, "too few leases for a proof"


def _recorded(
    start: int = GRANTED,
    stop: int | None = GRANTED + 2_000,
    ended: str | None = "released",
    fence: int = 7,
) -> Recorded:
    return Recorded(f"lease {start}", "a", start, stop, ended, fence)


def _believed(
    start: int = GRANTED,
    until: float = 11.0,
    fence: int = 7,
    released_at: int | None = None,
    since: float = 10.0,
) -> Believed:
    return Believed("a", start, since, until, f"lease {start}", fence, released_at)


@pytest.mark.parametrize(
    ("history", "notes"),
    [
        pytest.param(
            [_recorded(), _recorded(GRANTED + HOUR, GRANTED + HOUR + 1, fence=8)],
            [_believed(), _believed(GRANTED + HOUR, until=41.0, fence=8, since=40.0)],
            id="an AppID that comes round in the next hour",
        ),
        pytest.param([_recorded()], [], id="a grant whose answer nobody heard"),
        pytest.param(
            [_recorded(stop=GRANTED + 10_000, ended="expired")],
            [_believed(released_at=GRANTED + 10_001)],
            id="a release that was sent again until the ttl was over",
        ),
        pytest.param(
            [_recorded(stop=GRANTED + 10_000, ended="expired")],
            [_believed()],
            id="a holder that was killed",
        ),
    ],
)
def test_what_is_all_right_is_not_named(history: list[Recorded], notes: list[Believed]) -> None:
    assert wrongs(history, notes, HOUR) == []


@pytest.mark.parametrize(
    ("history", "notes", "wrong"),
    [
        ([_recorded(stop=None, ended=None)], [], "a is in use at the end"),
        (
            [_recorded(stop=GRANTED + HOUR + 9), _recorded(GRANTED + HOUR + 8, fence=8)],
            [],
            "a was held by two",
        ),
        (
            [_recorded(), _recorded(GRANTED + 2_001, GRANTED + 2_002, fence=8)],
            [],
            "a was granted at 92001, in the hour of its last use",
        ),
        (
            [_recorded(), _recorded(GRANTED + HOUR, GRANTED + HOUR + 1)],
            [],
            "a got the fence 7 after 7",
        ),
        ([], [_believed()], "the grant of a at 90000 was lost"),
        ([_recorded()], [_believed(fence=6)], "a at 90000 has another lease or fence"),
        (
            [_recorded(stop=GRANTED + 10_000, ended="expired")],
            [_believed(released_at=GRANTED + 9_999)],
            "the release of a at 90000 was lost",
        ),
        (
            [_recorded(), _recorded(GRANTED + HOUR, GRANTED + HOUR + 1, fence=8)],
            [_believed(until=12.0), _believed(GRANTED + HOUR, until=13.0, fence=8, since=11.0)],
            "two holders believed to have a",
        ),
    ],
)
def test_the_verdict_names_what_went_wrong(
    history: list[Recorded], notes: list[Believed], wrong: str
) -> None:
    found = wrongs(history, notes, HOUR)
    assert len(found) == 1 and found[0].startswith(wrong)


def test_the_notes_of_a_process_say_what_each_holder_believed(tmp_path: Path) -> None:
    held = {"appid": "a", "start": GRANTED, "lease": f"lease {GRANTED}", "fence": 7}
    lines = [
        {"what": "held", "at": 10.0, "wall": 1, **held},
        {"what": "ending", "at": 11.0, "wall": 2, **held},
        {"what": "lost", "at": 11.5, "wall": 3, "appid": "a"},
        {"what": "released", "at": 12.0, "wall": GRANTED + 2_000, **held},
    ]
    (tmp_path / "1").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_notes(tmp_path) == [_believed(released_at=GRANTED + 2_000)]
