"""Our service on PostgreSQL, to the same on SQLite; and acquires while an old snapshot is open.

Both databases are durable and on this machine, which they share with the service and the load.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator

import psycopg

from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Init
from appid_manager_client.server.store.store import Store
from benchmarks._acquires import acquires, in_turns, rates, ratios
from benchmarks._processes import service
from benchmarks._report import at_least, at_most
from tests.support.postgres import running_postgres

_PRODUCTS = {"bench": 6_000}
_ROUNDS = 6
_HELD_ACQUIRES = 100_000
_MEASURED = 1_000
_BATCH = 64


def main() -> None:
    with running_postgres(fsync="on") as server:
        with server.database() as url:
            _throughput(url)
        with server.database() as url:
            _old_snapshot(url)


def _throughput(url: str) -> None:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())

        def peer(database: str) -> int:
            return stack.enter_context(service("benchmarks._our_peer", database))

        sqlite = peer(f"sqlite:///{directory}/appids.db")
        one, two = peer(url), peer(url)
        for ports, connections, target in (([one], 64, 0.7), ([one, two], 256, 1.2)):
            rounds = in_turns(
                lambda: acquires([sqlite], _PRODUCTS, connections),
                lambda: acquires(ports, _PRODUCTS, connections),
                _ROUNDS,
            )
            here, there = rates(rounds)
            what = f"{len(ports)} process{'es' * (len(ports) > 1)}, {connections} connections"
            print(f"  {what}: {there:,.0f} acquires a second; SQLite: {here:,.0f}")
            each = ratios(rounds)
            at_least(f"PostgreSQL with {what}, to SQLite", statistics.median(each), target, each)


def _old_snapshot(url: str) -> None:
    now = int(time.time() * 1000)
    with contextlib.closing(Store(url, make_hours("UTC"), lambda: now)) as store:
        appids = {f"appid-{number:06d}": number for number in range(_HELD_ACQUIRES)}
        store.execute([Init("bench", appids)])
        with _snapshot(url):
            first = _seconds_each(store, _MEASURED)
            for _ in range((_HELD_ACQUIRES - 2 * _MEASURED) // _BATCH):
                _acquire(store, _BATCH)
            last = _seconds_each(store, _MEASURED)
    print(f"  with a snapshot held: {first * 1e6:,.0f} us the first, {last * 1e6:,.0f} us the last")
    at_most(f"the last of {_HELD_ACQUIRES:,} acquires to the first", last / first, 1.25)


@contextlib.contextmanager
def _snapshot(url: str) -> Iterator[None]:
    """Somebody has a transaction open that sees all as it was: a backup, a forgotten session."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM appids")
        yield
        other.execute("ROLLBACK")


def _seconds_each(store: Store, count: int) -> float:
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        _acquire(store, 1)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def _acquire(store: Store, count: int) -> None:
    outcomes = store.execute([Acquire("bench") for _ in range(count)])
    if not all(isinstance(outcome, Granted) for outcome in outcomes):
        raise RuntimeError(f"an acquire got no AppID: {outcomes}")


if __name__ == "__main__":
    main()
