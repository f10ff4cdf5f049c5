"""What a call of a decorated function costs more than a hand-written `with pool.lease()`.

The pool never has to ask the service, so what is measured is the decorator's own work, for a
function and for a method.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from appid_manager_client import INJECTED, AppIdClient, Lease, LeasePool, uses_appid
from appid_manager_client.testing import LocalService
from benchmarks._report import at_most

_CALLS = 5_000
_ROUNDS = 15
_TARGET = 3.0


def main() -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("bench", {"appid1": 1})
        with client.pool("bench", min_size=1, max_size=1) as pool:
            for name, (by_hand, decorated) in _ways(pool).items():
                _compare(name, by_hand, decorated)


def _compare(name: str, by_hand: Callable[[], str], decorated: Callable[[], str]) -> None:
    """Print the least of many rounds: other work of the machine only adds time."""
    rounds = [(_microseconds(by_hand), _microseconds(decorated)) for _ in range(_ROUNDS)]
    least = min(each[0] for each in rounds), min(each[1] for each in rounds)
    print(f"  {name}: {least[0]:.2f} microseconds by hand, {least[1]:.2f} decorated")
    at_most(f"{name}: microseconds that the decorator adds", least[1] - least[0], _TARGET)


def _microseconds(call: Callable[[], str]) -> float:
    began = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - began) / _CALLS * 1e6


def _ways(pool: LeasePool) -> dict[str, tuple[Callable[[], str], Callable[[], str]]]:
    def by_hand() -> str:
        with pool.lease() as lease:
            return lease.appid

    @uses_appid(pool=pool)
    def decorated(*, lease: Lease = INJECTED) -> str:
        return lease.appid

    class Job:
        def by_hand(self) -> str:
            with pool.lease() as lease:
                return lease.appid

        @uses_appid(pool=pool)
        def decorated(self, *, lease: Lease = INJECTED) -> str:
            return lease.appid

    job = Job()
    return {
        "function": (by_hand, decorated),
        "method": (lambda: job.by_hand(), lambda: job.decorated()),
    }


if __name__ == "__main__":
    main()
