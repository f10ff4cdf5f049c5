"""Where the search for the next AppID of a product begins: at the last one handed out.

Each grant leaves a dead entry before that place in PostgreSQL's index. While somebody keeps an old
snapshot open, they can't be removed, and every search from the start would pass over all of them.
"""

from __future__ import annotations

import time

# For how many seconds bounds are good. What became free before one meanwhile, by the doing of
# another process, waits so long for its turn.
_GOOD_FOR = 1.0

Place = tuple[int, int]
"""`last_stop` and `position` of an AppID."""

FIRST: Place = (-(2**63), 0)
"""Before all AppIDs."""


class Bounds:
    """The bounds of all products. Not for use by several threads."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._good_until = 0.0

    def of(self, product: str) -> Place:
        """Where to begin."""
        now = time.monotonic()
        if now >= self._good_until:
            self._places.clear()
            self._good_until = now + _GOOD_FOR
        return self._places.get(product, FIRST)

    def note(self, product: str, last: Place) -> None:
        """Begin at `last`, which was just handed out: nothing free stands before it."""
        self._places[product] = last

    def forget_behind(self, stop: int) -> None:
        """Forget them if an AppID that was released at `stop` could stand before one of them."""
        if any(last_stop >= stop for last_stop, _ in self._places.values()):
            self._places.clear()

    def forget(self) -> None:
        """Begin at the start again."""
        self._places.clear()
