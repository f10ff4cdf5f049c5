"""The cost of an acquire with 100,000 AppIDs, to that with 1,000.

The store alone is measured, with one acquire to a commit and with sixteen.
"""

from __future__ import annotations

import tempfile

from benchmarks._scale import SMALL, compare, open_store

_LARGE = 100_000


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        small, large = (open_store(f"{directory}/{n}.db", n) for n in (SMALL, _LARGE))
        for batch in (1, 16):
            compare(small, large, _LARGE, batch, 1.25)
        for store in (small, large):
            store.close()
