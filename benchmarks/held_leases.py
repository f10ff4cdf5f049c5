"""One more lease of a client that holds 4,000, beside one of a client that holds none.

The service is ours, durable, and in another process. The clients take turns, a few leases each:
from round to round the speed of the machine changes by more than what is measured here.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack

from appid_manager_client import AppIdClient
from benchmarks._processes import init, service
from benchmarks._report import at_most

_HELD = 4_000
_ROUNDS = 60
_LEASES = 10


def main() -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        database = f"sqlite:///{directory}/appids.db"
        url = f"http://127.0.0.1:{stack.enter_context(service('benchmarks._our_peer', database))}"
        port = int(url.rpartition(":")[2])
        init(port, "bench", _HELD + 2 * (_ROUNDS + 1) * _LEASES)
        none, many = (stack.enter_context(AppIdClient(url, 60)) for _ in range(2))
        held = [many.lease("bench", ttl=600).acquire() for _ in range(_HELD)]
        rounds = [(_seconds(none), _seconds(many)) for _ in range(_ROUNDS + 1)][1:]
        for lease in held:
            lease.release()
    for name, seconds in zip(("none", f"{_HELD:,}"), zip(*rounds)):
        print(f"  with {name} held: {statistics.median(seconds) / _LEASES * 1e6:,.0f} us a lease")
    ratio = statistics.median(each for _, each in rounds) / statistics.median(
        each for each, _ in rounds
    )
    ratios = [each / none for none, each in rounds]
    at_most(f"one more lease while {_HELD:,} are held, to none held", ratio, 1.05, ratios)


def _seconds(client: AppIdClient) -> float:
    began = time.perf_counter()
    for _ in range(_LEASES):
        with client.lease("bench"):
            pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
