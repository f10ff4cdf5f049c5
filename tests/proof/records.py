"""What a run leaves behind: the service's history, and what its callers noted of themselves.

Times of the history are milliseconds on the service's clock. Beliefs have seconds on the clock of
the machine that nobody sets, as callers of one machine compare them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Recorded(NamedTuple):
    """A lease in the history; `stop` is `None` while it lives."""

    appid: str
    start: int
    stop: int | None
    ended: str | None = None
    lease_id: str | None = None
    fence: int | None = None


@dataclass
class Believed:
    """A lease as its holder noted it.

    Attributes:
        since, until: when it believed to have the AppID. `until` is when it began to give it back,
            or heard that it was lost; a holder that was killed believed nothing any more.
        released_at: when its release was confirmed, in milliseconds on the wall clock.
    """

    appid: str
    start: int
    since: float
    until: float
    lease_id: str | None = None
    fence: int | None = None
    released_at: int | None = None


class Waited(NamedTuple):
    """Somebody who waited in line, in milliseconds.

    Attributes:
        asked, drew: when the request for a ticket was sent, and answered: its place is between
            those of all that were answered before the one, and asked after the other.
        held: from when to when a request was held, one after the other.
        granted: the start of the lease that it got; `None`: it got none.
    """

    asked: int
    drew: int
    held: tuple[tuple[int, int], ...]
    granted: int | None = None


class BrokenRecord(Exception):
    """A note that can't be read; the message names the file, the line, and what is wrong."""


def read_beliefs(files: Iterable[Path]) -> list[Believed]:
    """What callers noted, one file for each process.

    The last line of a file may be cut short: its process was killed.

    Raises:
        BrokenRecord: a note can't be read, or doesn't follow from those before it.
    """
    found: list[Believed] = []
    for file in sorted(files):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        held: dict[str, Believed] = {}
        for number, line in enumerate(lines, 1):
            try:
                _take_in(json.loads(line), held, found)
            except json.JSONDecodeError as error:
                raise BrokenRecord(f"{file}:{number}: no JSON: {error.msg}") from None
            except KeyError as error:
                raise BrokenRecord(f"{file}:{number}: has no {error}") from None
            except (TypeError, ValueError) as error:
                raise BrokenRecord(f"{file}:{number}: {error}") from None
    return found


def _take_in(note: dict[str, Any], held: dict[str, Believed], found: list[Believed]) -> None:
    what, appid, at = note["what"], str(note["appid"]), float(note["at"])
    if what == "held":
        lease, fence = note.get("lease"), note.get("fence")
        held[appid] = Believed(appid, int(note["start"]), at, at, lease, fence)
        found.append(held[appid])
        return
    if appid not in held:
        raise ValueError(f"{what} of {appid!r}, which was never held")
    if what in ("ending", "lost"):
        if held[appid].until == held[appid].since:
            held[appid].until = at
    elif what == "released":
        held[appid].released_at = int(note["wall"])
    else:
        raise ValueError(f"what: {what!r} is none of held, ending, lost, released")
