"""Results: a ratio beside its target, printed and kept. Ratios are comparable between machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NOTABLE = 0.1
"""By how much a ratio changes before a comparison calls it better or worse."""


@dataclass(frozen=True)
class Result:
    """One ratio.

    Attributes:
        what: what was compared.
        ratio: the median of the rounds, or of all that was measured.
        target: what it should be; None if it is shown only, and compared with earlier runs.
        at_least: whether more is better.
        spread: the least and the most of the rounds, where there were rounds.
    """

    what: str
    ratio: float
    target: float | None
    at_least: bool
    spread: tuple[float, float] | None = None

    @property
    def held(self) -> bool:
        if self.target is None:
            return True
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    @property
    def wanted(self) -> str:
        if self.target is None:
            return f"none; {'more' if self.at_least else 'less'} is better"
        return f"at {'least' if self.at_least else 'most'} {self.target:g}"


RESULTS: list[Result] = []
"""All of this process, in their order."""


def at_least(what: str, ratio: float, target: float | None, rounds: Sequence[float] = ()) -> None:
    """Print a ratio that should be `target` or more."""
    _report(Result(what, ratio, target, True, _spread(rounds)))


def at_most(what: str, ratio: float, target: float | None, rounds: Sequence[float] = ()) -> None:
    """Print a ratio that should be `target` or less."""
    _report(Result(what, ratio, target, False, _spread(rounds)))


def in_parts(values: Sequence[float], count: int = 5) -> list[Sequence[float]]:
    """So many parts of what was measured one after the other, to show a spread."""
    size = len(values) // count
    return [values[start : start + size] for start in range(0, size * count, size)]


def _spread(rounds: Sequence[float]) -> tuple[float, float] | None:
    return (min(rounds), max(rounds)) if rounds else None


def _report(result: Result) -> None:
    RESULTS.append(result)
    print(
        f"  ratio: {result.what}: {result.ratio:.2f}{_shown(result.spread)} "
        f"(target: {result.wanted}{_verdict(result)})",
        flush=True,
    )


def _verdict(result: Result) -> str:
    if result.target is None:
        return ""
    return "; held" if result.held else "; MISSED"


def _shown(spread: tuple[float, float] | None) -> str:
    return "" if spread is None else f" ({spread[0]:.2f} to {spread[1]:.2f})"


def machine() -> str:
    """Where this was measured."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def table(results: Iterable[Result]) -> str:
    """The results as a table of Markdown."""
    lines = ["| ratio | measured | target | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {result.what} | {result.ratio:.2f}{_shown(result.spread)} | {result.wanted} | "
        f"{'' if result.held else 'missed'} |"
        for result in results
    ]
    return "\n".join(lines)


def save(path: str, results: Iterable[Result]) -> None:
    """Write results to a JSON file."""
    body = {"machine": machine(), "results": [asdict(result) for result in results]}
    Path(path).write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def load(path: str) -> list[Result]:
    """The results of an earlier run.

    Raises:
        ValueError, KeyError, TypeError: the file has none.
        OSError: it can't be read.
    """
    found = json.loads(Path(path).read_text("utf-8"))["results"]
    return [Result(**{**each, "spread": _pair(each["spread"])}) for each in found]


def _pair(spread: Sequence[float] | None) -> tuple[float, float] | None:
    return None if spread is None else (spread[0], spread[1])


def changes(before: Iterable[Result], now: Iterable[Result]) -> list[str]:
    """What became better or worse, and what only one of the two runs has, in words."""
    then = {result.what: result for result in before}
    lines = []
    for result in now:
        old = then.pop(result.what, None)
        if old is None:
            lines.append(f"new: {result.what}: {result.ratio:.2f}")
            continue
        change = result.ratio / old.ratio - 1
        if abs(change) >= NOTABLE:
            better = (change > 0) is result.at_least
            word = "better" if better else "WORSE"
            lines.append(f"{word}: {result.what}: {old.ratio:.2f} before, {result.ratio:.2f} now")
    return lines + [f"not measured now: {what}" for what in then]
