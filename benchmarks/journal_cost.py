"""What the journal adds to a lease, as a part of what the lease's two HTTP calls cost, on our service.

Leases with and without a journal take turns in one run; the service is durable, and in another process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from appid_manager_client import AppIdClient
from benchmarks._processes import init, service
from benchmarks._report import at_most

_LEASES = 150
_ROUNDS = 7


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db") as port,
    ):
        url = f"http://127.0.0.1:{port}"
        init(port, "bench", 2 * (_ROUNDS + 1) * _LEASES)
        with AppIdClient(url) as plain, AppIdClient(url, journal=Path(directory, "j")) as journaled:
            # The first round warms up.
            rounds = [(_seconds(plain), _seconds(journaled)) for _ in range(1 + _ROUNDS)][1:]
    without, with_it = (statistics.median(each) / _LEASES * 1e6 for each in zip(*rounds))
    print(f"  a lease without a journal: {without:,.0f} microseconds, with one: {with_it:,.0f}")
    at_most(
        "what the journal adds to the lease without it",
        statistics.median(with_it / without - 1 for without, with_it in rounds),
        0.1,
    )


def _seconds(client: AppIdClient) -> float:
    began = time.perf_counter()
    for _ in range(_LEASES):
        with client.lease("bench"):
            pass
    return time.perf_counter() - began
