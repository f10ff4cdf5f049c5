"""The cost of an acquire with 100,000 AppIDs, to that with 1,000.

The store alone is measured, with one acquire to a commit and with sixteen.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid

from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Init, Release
from appid_manager_client.server.store.store import Store
from benchmarks._report import at_most

_SMALL, _LARGE = 1_000, 100_000
_ROUNDS = 15
_ACQUIRES = 64


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        stores = [_open(f"{directory}/{count}.db", count) for count in (_SMALL, _LARGE)]
        for batch in (1, 16):
            _compare(stores, batch)
        for store in stores:
            store.close()


def _open(path: str, count: int) -> Store:
    # A frozen clock: the hour doesn't end while this is measured.
    now = int(time.time() * 1000)
    store = Store(f"sqlite:///{path}", make_hours("UTC"), lambda: now)
    store.execute([Init("bench", {f"appid-{number:06d}": number for number in range(count)})])
    return store


def _compare(stores: list[Store], batch: int) -> None:
    rounds = [[_time(store, batch) for store in stores] for _ in range(1 + _ROUNDS)][1:]
    small, large = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(
        f"  {batch} to a commit: {small:,.0f} us with {_SMALL:,}, {large:,.0f} us with {_LARGE:,}"
    )
    ratios = [large / small for small, large in rounds]
    what = f"an acquire with {_LARGE:,} AppIDs to {_SMALL:,}, {batch} to a commit"
    at_most(what, statistics.median(ratios), 1.25, ratios)


def _time(store: Store, batch: int) -> float:
    """Microseconds for one acquire. Forced, so that AppIDs of earlier rounds are granted too."""
    begun = time.perf_counter()
    granted: list[str] = []
    for _ in range(_ACQUIRES // batch):
        operations = [
            Acquire("bench", True, str(uuid.uuid4()), 60_000, "benchmark") for _ in range(batch)
        ]
        outcomes = store.execute(operations)
        granted += [outcome.appid for outcome in outcomes if isinstance(outcome, Granted)]
    elapsed = time.perf_counter() - begun
    if len(granted) != _ACQUIRES:
        raise RuntimeError(f"{_ACQUIRES - len(granted)} acquires got no AppID")
    store.execute([Release("bench", appid) for appid in granted])
    return elapsed / _ACQUIRES * 1e6
