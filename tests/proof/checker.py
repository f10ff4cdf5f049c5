"""Whether a run kept what the guarantees promise. Sorts once, and looks at neighbours.

Each wrong has a kind, so that a test can plant one and ask for it by name.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from .records import Believed, Recorded, Waited


class Kind(str, Enum):
    """What can be wrong."""

    TWO_HOLDERS = "two leases of one AppID at once"
    TWICE_AN_HOUR = "an AppID granted in the hour of its last use"
    ENDS_BEFORE_IT_BEGINS = "a lease that ends before it begins"
    FENCE = "a fence that does not grow"
    IN_USE_AT_THE_END = "an AppID in use at the end"
    LOST_GRANT = "a grant that was acknowledged and is not in the history"
    OTHER_LEASE = "a grant that the history has with another lease or fence"
    LOST_RELEASE = "a release that was confirmed, and the lease lived on"
    TWO_BELIEVERS = "two callers who believed to hold one AppID"
    OVERTAKEN = "a waiter on time, overtaken by a later one"


class Wrong(NamedTuple):
    """One thing that is wrong: what, and the particulars."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"


_ANY = 2**63
"""Larger than every fence."""

HourOf = Callable[[int], int]
"""Returns what tells one hour from another, larger for later ones."""


def check_history(history: Iterable[Recorded], hour_of: HourOf) -> list[Wrong]:
    """Whether the service's own books are right."""
    wrong = []
    by_appid: dict[str, list[Recorded]] = defaultdict(list)
    for lease in history:
        by_appid[lease.appid].append(lease)
        if lease.stop is None:
            wrong.append(Wrong(Kind.IN_USE_AT_THE_END, f"{lease}"))
        elif lease.stop < lease.start:
            wrong.append(Wrong(Kind.ENDS_BEFORE_IT_BEGINS, f"{lease}"))
    for mine in by_appid.values():
        mine.sort(key=lambda lease: (lease.start, lease.fence or 0))
        for earlier, later in zip(mine, mine[1:]):
            if earlier.stop is None or later.start < earlier.stop:
                wrong.append(Wrong(Kind.TWO_HOLDERS, f"{earlier} and {later}"))
            elif hour_of(later.start) <= hour_of(earlier.stop):
                wrong.append(Wrong(Kind.TWICE_AN_HOUR, f"{earlier} and {later}"))
            if (later.fence or _ANY) <= (earlier.fence or 0):
                wrong.append(Wrong(Kind.FENCE, f"{earlier} and {later}"))
    return wrong


def check_acknowledged(history: Iterable[Recorded], beliefs: Iterable[Believed]) -> list[Wrong]:
    """Whether all that callers were told is in the history."""
    known = {(lease.appid, lease.start): lease for lease in history}
    wrong = []
    for belief in beliefs:
        lease = known.get((belief.appid, belief.start))
        if lease is None:
            wrong.append(Wrong(Kind.LOST_GRANT, f"{belief}"))
        elif belief.lease_id not in (None, lease.lease_id) or belief.fence not in (
            None,
            lease.fence,
        ):
            wrong.append(Wrong(Kind.OTHER_LEASE, f"{belief} and {lease}"))
        elif _lived_on(belief, lease):
            wrong.append(Wrong(Kind.LOST_RELEASE, f"{belief} and {lease}"))
    return wrong


def _lived_on(belief: Believed, lease: Recorded) -> bool:
    """A release that is sent again until the ttl is over hears that the lease is gone: as good."""
    if belief.released_at is None or lease.ended == "released":
        return False
    return lease.stop is None or lease.stop > belief.released_at


def check_beliefs(beliefs: Iterable[Believed]) -> list[Wrong]:
    """Whether ever two callers believed to hold one AppID.

    It must not be so unless one of them was stopped for longer than its ttl: the run keeps apart
    those that it stops.
    """
    by_appid: dict[str, list[Believed]] = defaultdict(list)
    for belief in beliefs:
        by_appid[belief.appid].append(belief)
    wrong = []
    for mine in by_appid.values():
        mine.sort(key=lambda belief: belief.since)
        longest = mine[0]
        for later in mine[1:]:
            if later.since < longest.until:
                wrong.append(Wrong(Kind.TWO_BELIEVERS, f"{longest} and {later}"))
            longest = max(longest, later, key=lambda belief: belief.until)
    return wrong


def check_turn(waits: Sequence[Waited], turn: int, hour_end: int) -> list[Wrong]:
    """Whether anybody who was held over a turn was overtaken at it.

    Of two who drew at the same moment, either may stand before the other.
    """
    granted = sorted(
        wait.asked for wait in waits if wait.granted is not None and turn <= wait.granted < hour_end
    )
    wrong = []
    for wait in waits:
        on_time = any(begin < turn <= end for begin, end in wait.held)
        served = wait.granted is not None and wait.granted < hour_end
        if on_time and not served:
            overtook = len(granted) - bisect_right(granted, wait.drew)
            if overtook:
                wrong.append(Wrong(Kind.OVERTAKEN, f"turn {turn}: {wait}, by {overtook}"))
    return wrong
