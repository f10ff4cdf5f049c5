"""The cost of an acquire with many AppIDs, to that with 1,000: the store alone is measured."""

from __future__ import annotations

import statistics
import time
import uuid

from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Init, Release
from appid_manager_client.server.store.store import Store
from benchmarks._report import at_most

PRODUCT = "bench"
SMALL = 1_000
_ROUNDS = 15
_ACQUIRES = 64


def open_store(path: str, count: int) -> Store:
    """A store with so many AppIDs, and a frozen clock: the hour doesn't end meanwhile."""
    now = int(time.time() * 1000)
    store = Store(f"sqlite:///{path}", make_hours("UTC"), lambda: now)
    store.execute([Init(PRODUCT, {f"appid-{number:06d}": number for number in range(count)})])
    return store


def compare(small: Store, large: Store, count: int, batch: int, target: float) -> None:
    """Compare acquires with `SMALL` AppIDs and with `count`, `batch` of them to a commit."""
    rounds = [(_time(small, batch), _time(large, batch)) for _ in range(1 + _ROUNDS)][1:]
    one, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"  {batch} to a commit: {one:,.0f} us with {SMALL:,}, {other:,.0f} us with {count:,}")
    ratios = [other / one for one, other in rounds]
    what = f"an acquire with {count:,} AppIDs to {SMALL:,}, {batch} to a commit"
    at_most(what, statistics.median(ratios), target, ratios)


def _time(store: Store, batch: int) -> float:
    """Microseconds for one acquire. Forced, so that AppIDs of earlier rounds are granted too."""
    begun = time.perf_counter()
    granted: list[str] = []
    for _ in range(_ACQUIRES // batch):
        operations = [
            Acquire(PRODUCT, True, str(uuid.uuid4()), 60_000, "benchmark") for _ in range(batch)
        ]
        outcomes = store.execute(operations)
        granted += [outcome.appid for outcome in outcomes if isinstance(outcome, Granted)]
    elapsed = time.perf_counter() - begun
    if len(granted) != _ACQUIRES:
        raise RuntimeError(f"{_ACQUIRES - len(granted)} acquires got no AppID")
    store.execute([Release(PRODUCT, appid) for appid in granted])
    return elapsed / _ACQUIRES * 1e6
