"""What a start costs: the import of the client, and the service until it answers; its memory.

The peers are the import of `requests`, and the smallest Starlette application below the same
server.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks._processes import peak_memory, running
from benchmarks._report import at_most

_ROUNDS = 7


def main() -> None:
    _compare_imports()
    _compare_services()


def _compare_imports() -> None:
    names = ("requests", "appid_manager_client")
    rounds = [[_import_seconds(name) for name in names] for _ in range(1 + _ROUNDS)][1:]
    peer, ours = (statistics.median(times) * 1e3 for times in zip(*rounds))
    print(f"  import: requests {peer:.0f} ms of processor time, appid_manager_client {ours:.0f} ms")
    ratios = [ours / peer for peer, ours in rounds]
    at_most(
        "import appid_manager_client to import requests", statistics.median(ratios), 0.4, ratios
    )


def _import_seconds(name: str) -> float:
    """Processor time of the import, without that of an interpreter that imports nothing."""
    return _seconds(f"import {name}") - _seconds("pass")


def _seconds(program: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", program], check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def _compare_services() -> None:
    with tempfile.TemporaryDirectory() as directory:
        rounds = [
            (
                _start("benchmarks._empty_peer"),
                _start("benchmarks._our_peer", f"sqlite:///{directory}/{number}.db"),
            )
            for number in range(1 + _ROUNDS)
        ][1:]
    (peer, peer_memory), (ours, our_memory) = (
        [statistics.median(values) for values in zip(*each)] for each in zip(*rounds)
    )
    print(
        f"  service: {ours:.2f} s until it answers, {our_memory / 1e6:.0f} MB; Starlette alone "
        f"{peer:.2f} s, {peer_memory / 1e6:.0f} MB"
    )
    seconds = [ours[0] / peer[0] for peer, ours in rounds]
    memory = [ours[1] / peer[1] for peer, ours in rounds]
    at_most("start of the service to Starlette alone", statistics.median(seconds), None, seconds)
    at_most("memory of the service to Starlette alone", statistics.median(memory), None, memory)


def _start(module: str, *arguments: str) -> tuple[float, int]:
    """Seconds until it accepts connections, and the bytes that it took for that."""
    begun = time.perf_counter()
    with running(module, *arguments) as (_, pid):
        return time.perf_counter() - begun, peak_memory(pid)
