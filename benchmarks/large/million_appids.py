"""A product of a million AppIDs: its init, to the rows alone, and an acquire of it.

The peer of the init is the driver's own `executemany` of the same rows into the same table.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time

from benchmarks._processes import init, peak_memory, running
from benchmarks._report import at_most
from benchmarks._scale import SMALL, compare, open_store

_COUNT = 1_000_000


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        _compare_init(directory)
        small, large = (open_store(f"{directory}/{n}.db", n) for n in (SMALL, _COUNT))
        for batch in (1, 16):
            compare(small, large, _COUNT, batch, 1.2)
        for store in (small, large):
            store.close()


def _compare_init(directory: str) -> None:
    path = f"{directory}/init.db"
    with running("benchmarks._our_peer", f"sqlite:///{path}") as (port, pid):
        before = peak_memory(pid)
        begun = time.perf_counter()
        init(port, "p", _COUNT)
        ours = time.perf_counter() - begun
        memory = peak_memory(pid) - before
    rows = _rows_alone(path)
    print(
        f"  an init of {_COUNT:,} AppIDs: {ours:.1f} s over HTTP, {memory / 1e6:.0f} MB more than "
        f"before; its rows alone {rows:.1f} s"
    )
    at_most(f"an init of {_COUNT:,} AppIDs, to its rows alone", ours / rows, 2.0)
    at_most(f"hundreds of MB that an init of {_COUNT:,} takes", memory / 1e8, 4.0)


def _rows_alone(path: str) -> float:
    """Seconds for the rows that the service has written, in a table of the same form."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM appids").fetchall()
        statements = [
            sql
            for (sql,) in connection.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = 'appids' AND sql IS NOT NULL"
            )
        ]
    with contextlib.closing(sqlite3.connect(f"{path}.rows", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in statements:
            connection.execute(statement)
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        marks = ",".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO appids VALUES ({marks})", rows)
        connection.execute("COMMIT")
        return time.perf_counter() - begun
