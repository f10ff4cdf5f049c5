"""Which claim is due first: found without a look at the others. Pure: it reads no clock.

What a claim is due for, and when, is for `ledger.py`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator

from .claim import Claim

_Entry = tuple[float, int, Claim]

_STALE_KEPT = 64
"""So many stale entries are not worth a sweep, however few claims there are."""


class Agenda:
    """Claims in the order of the moments at which they are due.

    To put off a claim, or to take it out, costs nothing here: its entry is moved or dropped when
    it comes up. An interrupt in the middle of a method loses no claim that was put in before.

    Args:
        due_at: returns when a claim is due (monotonic); `None`: it belongs here no more.
    """

    def __init__(self, due_at: Callable[[Claim], float | None]) -> None:
        self._due_at = due_at
        self._numbers = itertools.count()
        self._entries: list[_Entry] = []  # a heap; some are stale
        self._current: dict[Claim, _Entry] = {}

    def __iter__(self) -> Iterator[Claim]:
        """The claims, and perhaps some that belong here no more."""
        return iter(self._current)

    def put(self, claim: Claim, moment: float) -> None:
        """Take in a claim that is due at `moment`, or move it if it is due sooner than before."""
        known = self._current.get(claim)
        if known is None or moment < known[0]:
            self._push(claim, moment)

    def forget(self, claim: Claim) -> None:
        """Drop a claim that belongs here no more, which frees its memory before it comes up."""
        self._current.pop(claim, None)
        if len(self._entries) > 2 * len(self._current) + _STALE_KEPT:
            # Since the last sweep as many entries were made as are swept now.
            entries = list(self._current.values())
            heapq.heapify(entries)
            self._entries = entries

    def first(self) -> tuple[float, Claim] | None:
        """When a claim is due next, and which; `None` if there are no claims."""
        while self._entries:
            entry = moment, _, claim = self._entries[0]
            if self._current.get(claim) is not entry:
                heapq.heappop(self._entries)
                continue
            due = self._due_at(claim)
            if due is None:
                del self._current[claim]
            elif due > moment:
                self._push(claim, due)
            else:
                return moment, claim
        return None

    def _push(self, claim: Claim, moment: float) -> None:
        entry = moment, next(self._numbers), claim
        heapq.heappush(self._entries, entry)
        self._current[claim] = entry  # an older one is stale from here on
