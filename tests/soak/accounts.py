"""The books of the soak of leases: who gave back what, and whether any AppID was had twice.

What was handed out, and when it ended, the service says; who gave it back, its holders noted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from appid_manager_client.testing import LocalService
from tests.support.field import FieldService
from tests.support.ours import OurService


class Spell(NamedTuple):
    """One AppID in use, from `start` to `stop` in ms (`None`: still). `hour`: the hour's start."""

    appid: str
    hour: int
    start: int
    stop: int | None
    expired: bool


def spells(service: FieldService | OurService, product: str) -> list[Spell]:
    """Every AppID that was handed out, as the service has written it down."""
    if isinstance(service, OurService):
        return local_spells(service.local, product)
    # An AppID's grants and returns alternate, each pair with one start.
    stops = {(back.appid, back.starttime): back.stoptime for back in service.returns}
    return [
        Spell(g.appid, g.hour, g.starttime, stops.get((g.appid, g.starttime)), False)
        for g in service.grants
    ]


def local_spells(service: LocalService, product: str) -> list[Spell]:
    """The same of a `LocalService`, from its history."""
    hour = service.hour
    length = hour.end - hour.start
    return [
        Spell(
            lease["appid"],
            lease["starttime"] - (lease["starttime"] - hour.start) % length,
            lease["starttime"],
            lease["stoptime"],
            lease["ended"] == "expired",
        )
        for lease in service.history(product)
    ]


def wrongs(had: list[Spell]) -> list[str]:
    """In words: what is in use, was handed out twice in an hour, or was held by two at once."""
    wrong = [f"{spell.appid} is in use, and nobody holds it" for spell in had if spell.stop is None]
    uses = Counter((spell.appid, spell.hour) for spell in had)
    wrong += [
        f"{appid} was handed out {n} times in {hour}" for (appid, hour), n in uses.items() if n > 1
    ]
    by_appid: dict[str, list[Spell]] = defaultdict(list)
    for spell in had:
        by_appid[spell.appid].append(spell)
    for appid, mine in by_appid.items():
        mine.sort(key=lambda spell: spell.start)
        wrong += [
            f"{appid} was held by two at {later.start}"
            for earlier, later in zip(mine, mine[1:])
            if earlier.stop is None or later.start < earlier.stop
        ]
    return wrong


def givers(directory: Path, had: list[Spell]) -> Counter[str]:
    """Who gave back what was released, and what was `lost`, as the processes of the soak noted.

    A retried release is noted also when the ttl was faster: what the service saw end otherwise is
    left out.
    """
    counts: Counter[str] = Counter()
    released = Counter(s.appid for s in had if s.stop is not None and not s.expired)
    for path in sorted(directory.iterdir()):
        ending: set[str] = set()
        for line in path.read_text().splitlines():
            word, appid = line.split()
            if word in ("acquired", "deferred"):
                ending.discard(appid)
            elif word == "ending":
                ending.add(appid)
            elif word == "released" and released[appid]:
                released[appid] -= 1
                counts["holder" if appid in ending else "keeper"] += 1
            elif word == "lost":
                counts["lost"] += 1
    return counts
