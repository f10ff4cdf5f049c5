"""The books of the soak of replicas: the service's history against what its callers noted."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg


class Recorded(NamedTuple):
    """A lease in the history, in milliseconds on the service's clock; `stop` is `None`: live."""

    lease_id: str
    appid: str
    start: int
    stop: int | None
    ended: str | None
    fence: int


@dataclass
class Believed:
    """A lease as its holder noted it, in seconds on the machine's monotonic clock.

    `until` is when the holder began to give it back, or heard that it was lost; a holder that was
    killed believed nothing any more. `released_at` is when its release was confirmed, in
    milliseconds on the wall clock.
    """

    appid: str
    start: int
    since: float
    until: float
    lease_id: str | None
    fence: int | None
    released_at: int | None = None


def read_history(url: str) -> list[Recorded]:
    """All leases that the database has."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT lease_id, appid, start, stop, ended, fence FROM leases WHERE appid IS NOT NULL"
        ).fetchall()
    return [Recorded(*row) for row in rows]


def read_notes(directory: Path) -> list[Believed]:
    """What all callers have noted."""
    found: list[Believed] = []
    for path in sorted(directory.iterdir()):
        held: dict[str, Believed] = {}
        for line in path.read_text().splitlines():
            note: dict[str, Any] = json.loads(line)
            appid, at = note["appid"], note["at"]
            if note["what"] == "held":
                lease, fence = note.get("lease"), note.get("fence")
                held[appid] = Believed(appid, note["start"], at, at, lease, fence)
                found.append(held[appid])
            elif note["what"] in ("ending", "lost") and held[appid].until == held[appid].since:
                held[appid].until = at
            elif note["what"] == "released":
                held[appid].released_at = note["wall"]
    return found


def wrongs(history: list[Recorded], notes: list[Believed], hour_ms: int) -> list[str]:
    """What is not as it should be, in words."""
    return [
        *_wrong_in_history(history, hour_ms),
        *_not_recorded(history, notes),
        *_held_by_two(notes),
    ]


def _wrong_in_history(history: list[Recorded], hour_ms: int) -> list[str]:
    wrong = [f"{lease.appid} is in use at the end" for lease in history if lease.stop is None]
    by_appid: dict[str, list[Recorded]] = defaultdict(list)
    for lease in history:
        by_appid[lease.appid].append(lease)
    for appid, mine in by_appid.items():
        mine.sort(key=lambda lease: (lease.start, lease.fence))
        for earlier, later in zip(mine, mine[1:]):
            if earlier.stop is None or later.start < earlier.stop:
                wrong.append(f"{appid} was held by two at {later.start}")
            elif later.start // hour_ms <= earlier.stop // hour_ms:
                wrong.append(f"{appid} was granted at {later.start}, in the hour of its last use")
            if later.fence <= earlier.fence:
                wrong.append(f"{appid} got the fence {later.fence} after {earlier.fence}")
    return wrong


def _not_recorded(history: list[Recorded], notes: list[Believed]) -> list[str]:
    """What was acknowledged, and is not in the history."""
    wrong = []
    known = {(lease.appid, lease.start): lease for lease in history}
    for note in notes:
        lease = known.get((note.appid, note.start))
        if lease is None:
            wrong.append(f"the grant of {note.appid} at {note.start} was lost")
        elif note.lease_id not in (None, lease.lease_id) or note.fence not in (None, lease.fence):
            wrong.append(f"{note.appid} at {note.start} has another lease or fence: {lease}")
        elif _is_lost(note, lease):
            wrong.append(f"the release of {note.appid} at {note.start} was lost: {lease}, {note}")
    return wrong


def _is_lost(note: Believed, lease: Recorded) -> bool:
    """Whether a release was confirmed, and the lease lived on.

    One that was sent again until the ttl was over hears that the lease is gone, which is as good.
    """
    if note.released_at is None or lease.ended == "released":
        return False
    return lease.stop is None or lease.stop > note.released_at


def _held_by_two(notes: list[Believed]) -> list[str]:
    wrong = []
    by_appid: dict[str, list[Believed]] = defaultdict(list)
    for note in notes:
        by_appid[note.appid].append(note)
    for appid, mine in by_appid.items():
        mine.sort(key=lambda note: note.since)
        wrong += [
            f"two holders believed to have {appid} at {later.since:.3f}"
            for earlier, later in zip(mine, mine[1:])
            if later.since < earlier.until
        ]
    return wrong
