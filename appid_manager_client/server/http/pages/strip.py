"""The last 24 hours of an AppID as a strip: which of them it was used in, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ...hours import Hour, Hours
from ...records import Use

HOURS = 24

Kind = Literal["used", "burned", "lost"]

_STEP, _WIDTH, _HEIGHT = 5, 4, 12
WIDTH, HEIGHT = HOURS * _STEP - 1, _HEIGHT
"""The size of a strip, in pixels."""

_WORDS: dict[Kind, str] = {
    "used": "a lease began",
    "burned": "held over from an hour before",
    "lost": "a lease ended because its holder was gone",
}


@dataclass(frozen=True, slots=True)
class Strip:
    """What is drawn: a path for each kind of hour, and the same in words."""

    paths: dict[Kind, str]
    words: str


def last_hours(hours: Hours, now: int) -> list[Hour]:
    """The last 24 hours, the present one at the end."""
    found = [hours.at(now)]
    while len(found) < HOURS:
        found.append(hours.at(found[-1].start - 1))
    return found[::-1]


def draw(uses: Iterable[Use], hours: list[Hour], now: int) -> Strip:
    """The strip of one AppID."""
    kinds = _kinds(list(uses), hours, now)
    paths: dict[Kind, str] = {}
    for number, kind in enumerate(kinds):
        if kind is not None:
            square = f"M{number * _STEP} 0h{_WIDTH}v{_HEIGHT}h-{_WIDTH}z"
            paths[kind] = paths.get(kind, "") + square
    counts = [f"{kinds.count(kind)} {kind}" for kind in _WORDS if kind in kinds]
    return Strip(paths, ", ".join(counts) or "not used")


def legend() -> list[tuple[Kind, str]]:
    """What each kind of hour means."""
    return list(_WORDS.items())


def _kinds(uses: list[Use], hours: list[Hour], now: int) -> list[Kind | None]:
    kinds: list[Kind | None] = [None] * len(hours)
    for use in sorted(uses, key=lambda one: one.start):
        stop = now if use.stop is None else use.stop
        for number, (start, end) in enumerate(hours):
            if use.start >= end or stop < start:
                continue
            last = stop < end
            if use.ended == "expired" and last:
                kinds[number] = "lost"
            elif use.start >= start:
                kinds[number] = "used"
            elif kinds[number] is None:
                kinds[number] = "burned"
    return kinds
