"""Acquires a second with 1 to 256 connections: our service, to one of the field's kind.

Each answer of ours is on disk (`synchronous=FULL`) before it is sent; the other keeps everything
in memory. Each round grants all of 2,000 AppIDs, so the scans of the other stay short: with more
AppIDs the ratio grows. Then our service with the same AppIDs in 200 products, to one product.
"""

from __future__ import annotations

import statistics
import tempfile

from benchmarks._acquires import acquires, in_turns, rates, ratios
from benchmarks._processes import service
from benchmarks._report import at_least

_APPIDS = 2_000
_ONE = {"bench": _APPIDS}
_MANY = {f"bench-{number:03d}": _APPIDS // 200 for number in range(200)}
_TARGETS = {1: 1.5, 16: 8.0, 64: None, 256: None}
"""By the number of connections."""
_ROUNDS = 7


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        service("benchmarks._field_peer") as field,
        service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db") as ours,
    ):
        for connections, target in _TARGETS.items():
            _compare(field, ours, connections, target)
        _compare_products(ours)


def _compare(field: int, ours: int, connections: int, target: float | None) -> None:
    rounds = in_turns(
        lambda: acquires([field], _ONE, connections),
        lambda: acquires([ours], _ONE, connections),
        _ROUNDS,
    )
    theirs, our = rates(rounds)
    busy = statistics.median(load.own_share for _, load in rounds)
    name = f"{connections} connection{'s' * (connections > 1)}"
    print(
        f"  {name}: {theirs:,.0f} acquires a second in the field's way, {our:,.0f} in ours "
        f"(load generator busy {busy:.0%})"
    )
    each = ratios(rounds)
    at_least(f"ours to the field's way, {name}", statistics.median(each), target, each)


def _compare_products(port: int) -> None:
    rounds = in_turns(
        lambda: acquires([port], _ONE, 16), lambda: acquires([port], _MANY, 16), _ROUNDS
    )
    one, many = rates(rounds)
    print(f"  one product: {one:,.0f} acquires a second; {len(_MANY)}: {many:,.0f}")
    each = ratios(rounds)
    what = f"{len(_MANY)} products to one product, 16 connections"
    at_least(what, statistics.median(each), 0.65, each)


if __name__ == "__main__":
    main()
