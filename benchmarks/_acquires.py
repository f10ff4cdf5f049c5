"""Rounds of acquires over HTTP: fresh AppIDs, then one acquire for each of them."""

from __future__ import annotations

import json
import statistics
import uuid
from collections.abc import Callable, Mapping, Sequence

from benchmarks._load import Load, post, run
from benchmarks._processes import init


def acquires(ports: Sequence[int], products: Mapping[str, int], connections: int) -> Load:
    """Set `products` (AppIDs by name), and acquire all of them, the products in turns."""
    for product, count in products.items():
        init(ports[0], product, count)
    turns = range(max(products.values()))
    wanted = [product for turn in turns for product, count in products.items() if turn < count]
    load = run(ports, [_request(product) for product in wanted], connections)
    if load.statuses != {200: len(wanted)}:
        raise RuntimeError(f"not every acquire was answered with an AppID: {load.statuses}")
    return load


def in_turns(
    peer: Callable[[], Load], ours: Callable[[], Load], rounds: int
) -> list[tuple[Load, Load]]:
    """Rounds of both, in turns, so that a busy machine slows both. One more warms up."""
    return [(peer(), ours()) for _ in range(1 + rounds)][1:]


def ratios(rounds: Sequence[tuple[Load, Load]]) -> list[float]:
    """Our rate to the peer's, for each round."""
    return [ours.rate / peer.rate for peer, ours in rounds]


def rates(rounds: Sequence[tuple[Load, Load]]) -> tuple[float, float]:
    """The median acquires a second of the peer, and ours."""
    peer, ours = (statistics.median(load.rate for load in loads) for loads in zip(*rounds))
    return peer, ours


def _request(product: str) -> bytes:
    # What the client of this package sends, to every service.
    about = {
        "productName": product,
        "requestId": str(uuid.uuid4()),
        "ttl": 60,
        "holder": "benchmark",
    }
    return post("/api/appid/acquire", json.dumps(about).encode())
