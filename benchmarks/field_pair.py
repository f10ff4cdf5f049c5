"""One caller's pair (acquire, release): the field's way, beside our client with our service.

The field's way is `requests.post` for each call, to a Flask service of its kind that keeps all in
memory. Ours has everything on disk before it answers. Both services run in processes of their own.
Each round begins with fresh AppIDs, which are set outside the timing, and goes both ways in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from appid_manager_client import AppIdClient
from benchmarks import _field_client
from benchmarks._processes import init, service
from benchmarks._report import at_least

_PAIRS = 100
_ROUNDS = 15
_TARGET = 2.0


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db") as port,
        service("benchmarks._field_peer") as field_port,
        AppIdClient(f"http://127.0.0.1:{port}") as client,
    ):
        url = f"http://127.0.0.1:{field_port}"

        def ours() -> None:
            appid, *_ = client.acquire_appid("bench")
            client.release_appid(appid, "bench")

        def take_rounds() -> list[tuple[float, float]]:
            return [
                _round(field_port, port, lambda: _field_client.pair(url), ours)
                for _ in range(1 + _ROUNDS)
            ][1:]

        with ThreadPoolExecutor(1) as thread:
            on_a_thread = thread.submit(take_rounds).result()
        in_the_main_thread = take_rounds()
    for where, rounds in (("a thread", on_a_thread), ("the main one", in_the_main_thread)):
        field, our = (statistics.median(each) * 1e6 for each in zip(*rounds))
        print(f"  a pair in {where}: {field:,.0f} us in the field's way, {our:,.0f} us in ours")
        ratios = [field / our for field, our in rounds]
        what = f"a pair in the field's way to ours, in {where}"
        at_least(what, statistics.median(ratios), _TARGET, ratios)


def _round(
    field_port: int, our_port: int, field: Callable[[], None], ours: Callable[[], None]
) -> tuple[float, float]:
    """The median seconds of a pair of each."""
    for port in (field_port, our_port):
        init(port, "bench", _PAIRS)
    turns = [(_seconds(field), _seconds(ours)) for _ in range(_PAIRS)]
    here, there = zip(*turns)
    return statistics.median(here), statistics.median(there)


def _seconds(pair: Callable[[], None]) -> float:
    began = time.perf_counter()
    pair()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
