"""When a client reset which product: what it holds of that product may have ended with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..runtime.forks import WithLock
from ..runtime.time import SystemTime


class Resets(WithLock):
    """When this client reset which product.

    An init takes effect at some time while it is on the wire: what was granted meanwhile may have
    been forgotten by the service.
    """

    def __init__(self, system: SystemTime) -> None:
        super().__init__()
        self._system = system
        # Guarded by _lock: how many inits are on the wire, and when the last one came to its end.
        self._under_way: Counter[str] = Counter()
        self._ended_at: dict[str, float] = {}

    @contextmanager
    def noted(self, product_name: str) -> Iterator[None]:
        """Note an init that is on the wire within the block."""
        with self._lock:
            self._under_way[product_name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[product_name] -= 1
                self._ended_at[product_name] = self._system.monotonic()

    def may_have_come_after(self, product_name: str, since: float) -> bool:
        """Whether an init of the product is on the wire, or ended after that time."""
        with self._lock:
            ended_at = self._ended_at.get(product_name, -math.inf)
            return self._under_way[product_name] > 0 or ended_at >= since
