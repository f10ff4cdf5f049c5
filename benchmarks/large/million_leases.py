"""A history of a million leases: a page of it, and how it is forgotten.

The store alone is measured. Its peer is the same store with a history of a thousand leases.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import statistics
import tempfile
import time

from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Init, Sweep, Swept
from appid_manager_client.server.records import HistoryQuery
from appid_manager_client.server.store.store import Store
from benchmarks._report import at_least, at_most

_FEW, _MANY = 1_000, 1_000_000
_PRODUCTS = 100
_OLD = 20_000
_DAY_MS = 24 * 3600 * 1000
_ROUNDS = 21


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        few, many = (_open(f"{directory}/{n}.db", n) for n in (_FEW, _MANY))
        for what, product in (("one product", "p7"), ("all products", None)):
            rounds = [(_page(few, product), _page(many, product)) for _ in range(1 + _ROUNDS)][1:]
            small, large = (statistics.median(times) for times in zip(*rounds))
            print(
                f"  a page of the history of {what}: {small * 1e3:.1f} ms of {_FEW:,} leases, "
                f"{large * 1e3:.1f} ms of {_MANY:,}"
            )
            ratios = [large / small for small, large in rounds]
            name = f"history of {what}, {_MANY:,} leases to {_FEW:,}"
            at_most(name, statistics.median(ratios), 2.5, ratios)
        _prune(many)
        for store in (few, many):
            store.close()


def _open(path: str, count: int) -> Store:
    """A store with a history of so many leases, the oldest of which are to be forgotten."""
    # The clock counts as steady soon: nothing is forgotten before.
    ticks = itertools.count(step=10_000)
    store = Store(f"sqlite:///{path}", make_hours("UTC"), monotonic=lambda: next(ticks))
    store.execute([Init(f"p{n}", {f"p{n}-a": n}) for n in range(_PRODUCTS)])
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO leases (lease_id, product, appid, vid, holder, start, stop, ended, fence)"
            " VALUES (?, ?, ?, '1', 'benchmark', ?, ?, 'released', ?)",
            (
                (
                    f"lease-{n}",
                    f"p{n % _PRODUCTS}",
                    f"p{n % _PRODUCTS}-a",
                    start := now - (100 if n < _OLD else 10) * _DAY_MS + n,
                    start + 1,
                    n,
                )
                for n in range(count)
            ),
        )
        connection.execute("COMMIT")
    return store


def _page(store: Store, product: str | None) -> float:
    begun = time.perf_counter()
    found = store.history(HistoryQuery(product=product, limit=100)).leases
    seconds = time.perf_counter() - begun
    if len(found) != (100 if product is None else min(100, _FEW // _PRODUCTS)) and not found:
        raise RuntimeError("the history is empty")
    return seconds / len(found)


def _prune(store: Store) -> None:
    """Forget what is too old, slice by slice, as the service does between what callers want."""
    slices = []
    more = True
    while more:
        begun = time.perf_counter()
        (outcome,) = store.execute([Sweep(prune=True)])
        slices.append(time.perf_counter() - begun)
        more = isinstance(outcome, Swept) and outcome.more
    usual, longest = statistics.median(slices) * 1e3, max(slices) * 1e3
    print(
        f"  {_OLD:,} leases forgotten in {len(slices)} slices of {usual:.0f} ms, the longest "
        f"{longest:.0f} ms"
    )
    if len(slices) < 10:
        raise RuntimeError("what is too old was not forgotten")
    at_least("leases forgotten a second, in hundreds", _OLD / sum(slices) / 100, 5.0)
    at_most("the longest slice of it, to 50 ms", max(slices) / 0.05, 1.0)
