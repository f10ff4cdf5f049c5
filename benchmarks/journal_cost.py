"""What the journal adds to a lease, as a part of the same two calls in the field's way.

The field's way is `requests.post` for each call, to a service of its kind. Leases are of our
service, durable. Both services run in processes of their own. Each turn goes each of the ways, in
shuffled order: from round to round the speed of the machine changes by more than what is measured
here. A second lease without a journal shows the noise that is left.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from appid_manager_client import AppIdClient
from benchmarks import _field_client
from benchmarks._processes import init, service
from benchmarks._report import at_most, in_parts

_TURNS = 800
_WARM_UP = 50


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        service("benchmarks._our_peer", f"sqlite:///{directory}/appids.db") as port,
        service("benchmarks._field_peer") as field_port,
    ):
        url, field_url = (f"http://127.0.0.1:{each}" for each in (port, field_port))
        init(port, "bench", 3 * (_WARM_UP + _TURNS))
        init(field_port, "bench", _WARM_UP + _TURNS)
        with (
            AppIdClient(url) as plain,
            AppIdClient(url) as other,
            AppIdClient(url, journal=Path(directory, "journal")) as journaled,
        ):
            ways: dict[str, Callable[[], None]] = {
                "field": lambda: _field_client.pair(field_url),
                "lease": lambda: _lease(plain),
                "again": lambda: _lease(other),
                "journal": lambda: _lease(journaled),
            }
            took = _take_turns(ways)
    pair = statistics.median(took["field"])
    adds, noise = (_median_difference(took[way], took["lease"]) for way in ("journal", "again"))
    print(
        f"  the field's pair: {pair:,.0f} microseconds, a lease without a journal: "
        f"{statistics.median(took['lease']):,.0f}; the journal adds {adds:,.0f} "
        f"(the same lease again: {noise:,.0f})"
    )
    parts = zip(*(in_parts(took[way]) for way in ("journal", "lease", "field")))
    ratios = [
        _median_difference(journal, lease) / statistics.median(field)
        for journal, lease, field in parts
    ]
    at_most("the journal's part of a lease, to a pair of the field's", adds / pair, 0.1, ratios)


def _take_turns(ways: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Return the microseconds of each way, turn by turn."""
    chance = random.Random(1)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_WARM_UP + _TURNS):
        for name in chance.sample(list(ways), len(ways)):
            began = time.perf_counter()
            ways[name]()
            took[name].append((time.perf_counter() - began) * 1e6)
    return {name: each[_WARM_UP:] for name, each in took.items()}


def _median_difference(these: list[float], those: list[float]) -> float:
    return statistics.median(this - that for this, that in zip(these, those))


def _lease(client: AppIdClient) -> None:
    with client.lease("bench"):
        pass


if __name__ == "__main__":
    main()
