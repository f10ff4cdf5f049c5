"""How long the answer to a wrong token waits: the longer, the more of them an address has sent.

A right token is never slowed. Behind a proxy all callers share its address.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_FREE = 5
_FIRST = 0.25
_LONGEST = 4.0
_FORGET_AFTER = 60.0
_MOST_ADDRESSES = 10_000


class WrongTokens:
    """Counts wrong tokens by address. For one thread.

    Args:
        clock: a clock in seconds that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By address: how many, and when the last one came; the address heard of last at the end.
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def note(self, address: str) -> float:
        """Count one more; returns the seconds for which its answer waits."""
        now = self._clock()
        count, last = self._seen.pop(address, (0, now))
        count = 1 if now - last > _FORGET_AFTER else count + 1
        self._seen[address] = (count, now)
        if len(self._seen) > _MOST_ADDRESSES:
            self._seen.popitem(last=False)
        if count <= _FREE:
            return 0.0
        return float(min(_LONGEST, _FIRST * 2 ** min(count - _FREE - 1, 10)))
