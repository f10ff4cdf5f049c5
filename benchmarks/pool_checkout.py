"""What a checkout from the pool costs, beside psycopg_pool and SQLAlchemy's QueuePool.

In coroutines it is measured beside `asyncio.LifoQueue`, the least that hands something out in turn.

All hand out an object that is there already: psycopg_pool has a connection class that does nothing,
`QueuePool` a creator of nothing. Measured alone, and with eight threads that want the only one.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from appid_manager_client import AppIdClient, LeasePool
from appid_manager_client.testing import LocalService
from benchmarks._report import at_most

_ROUNDS = 9
_CONTENDED_ROUNDS = 5
_CHECKOUTS = 10_000
_THREADS = 8
_CONTENDED_CHECKOUTS = 1_000

Body = Callable[[], Any]
Checkout = Callable[[Body], None]


def main() -> None:
    with ExitStack() as stack:
        pool = _our_pool(stack)
        ours = _checkout_of(pool)
        peers: dict[str, tuple[Checkout, float]] = {"QueuePool": (_queue_pool(), 1.0)}
        try:
            peers["psycopg_pool"] = (_psycopg_pool(stack), 0.5)
        except ImportError as error:
            print(f"  psycopg_pool is left out ({error}): pip install 'psycopg[binary,pool]'")
        everybody = {"ours": ours} | {name: peer for name, (peer, _) in peers.items()}
        # Rounds take turns, so that a busy machine slows all alike.
        rounds = [
            {name: _alone(checkout) for name, checkout in everybody.items()} for _ in range(_ROUNDS)
        ]
        for name in everybody:
            print(f"  {name}, alone: {statistics.median(each[name] for each in rounds):.2f} us")
        for name, (_, target) in peers.items():
            ratios = [each["ours"] / each[name] for each in rounds]
            what = f"an uncontended checkout to one of {name}"
            at_most(what, statistics.median(ratios), target, ratios)
        contended = [
            {name: _contended(checkout) for name, checkout in everybody.items()}
            for _ in range(_CONTENDED_ROUNDS)
        ]
        for name in everybody:
            cost, spread = (
                statistics.median(values) for values in zip(*(each[name] for each in contended))
            )
            print(
                f"  {name}, {_THREADS} threads for one AppID: {cost:.1f} us for each checkout; "
                f"the last thread was done {spread:.0%} later than the first"
            )
        for name in peers:
            ratios = [each["ours"][0] / each[name][0] for each in contended]
            what = f"{_THREADS} threads, one AppID: a checkout to one of {name}"
            at_most(what, statistics.median(ratios), 1.1, ratios)
        coroutines = asyncio.run(_in_coroutines(pool))
    for name, each in zip(("asyncio.LifoQueue", "ours"), zip(*coroutines)):
        print(f"  {name}, {_THREADS} coroutines for one AppID: {statistics.median(each):.1f} us")
    ratios = [ours / queue for queue, ours in coroutines]
    what = "a contended checkout of coroutines to asyncio.LifoQueue"
    at_most(what, statistics.median(ratios), 3.0, ratios)


async def _in_coroutines(pool: LeasePool) -> list[tuple[float, float]]:
    """Microseconds of one checkout among eight coroutines, of a LifoQueue and of the pool."""
    queue: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    queue.put_nowait(1)

    async def from_queue() -> None:
        item = await queue.get()
        try:
            await asyncio.sleep(0)  # lets the others run while this one holds it
        finally:
            queue.put_nowait(item)

    async def from_pool() -> None:
        async with pool.lease():
            await asyncio.sleep(0)

    return [(await _among_eight(from_queue), await _among_eight(from_pool)) for _ in range(_ROUNDS)]


async def _among_eight(checkout: Callable[[], Awaitable[None]]) -> float:
    async def work() -> None:
        for _ in range(_CONTENDED_CHECKOUTS):
            await checkout()

    start = time.thread_time()
    await asyncio.gather(*(work() for _ in range(_THREADS)))
    return (time.thread_time() - start) / (_THREADS * _CONTENDED_CHECKOUTS) * 1e6


def _alone(checkout: Checkout) -> float:
    """Microseconds of this thread's own time for one checkout, when nobody waits."""

    def body() -> None: ...

    start = time.thread_time()
    for _ in range(_CHECKOUTS):
        checkout(body)
    return (time.thread_time() - start) / _CHECKOUTS * 1e6


def _contended(checkout: Checkout) -> tuple[float, float]:
    """Microseconds of one checkout among eight threads, and how far apart the threads ended."""
    barrier = threading.Barrier(_THREADS + 1)
    ends: list[float] = []

    def body() -> None:
        time.sleep(0)  # lets the others run while this one holds it

    def work() -> None:
        barrier.wait()
        for _ in range(_CONTENDED_CHECKOUTS):
            checkout(body)
        ends.append(time.perf_counter())

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    spread = (max(ends) - min(ends)) / (max(ends) - start)
    return (max(ends) - start) / (_THREADS * _CONTENDED_CHECKOUTS) * 1e6, spread


def _our_pool(stack: ExitStack) -> LeasePool:
    service = stack.enter_context(LocalService())
    client = stack.enter_context(AppIdClient(service.url))
    client.init_product("benchmark", {"appid1": 1})
    return stack.enter_context(client.pool("benchmark", max_size=1))


def _checkout_of(pool: LeasePool) -> Checkout:
    def checkout(body: Body) -> None:
        with pool.lease():
            body()

    return checkout


def _psycopg_pool(stack: ExitStack) -> Checkout:
    from psycopg import Connection
    from psycopg.pq import TransactionStatus
    from psycopg_pool import ConnectionPool

    class Idle:
        transaction_status = TransactionStatus.IDLE

    class Nothing(Connection[Any]):
        def __init__(self) -> None:
            self.pgconn: Any = Idle()
            self._pool: Any = None

        @classmethod
        def connect(cls, *args: Any, **kwargs: Any) -> Any:
            return cls()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None: ...

        def close(self) -> None: ...

        def __del__(self, *args: object) -> None: ...

    pool = stack.enter_context(
        ConnectionPool(connection_class=Nothing, min_size=1, max_size=1, open=True)
    )
    pool.wait()

    def checkout(body: Body) -> None:
        with pool.connection():
            body()

    return checkout


def _queue_pool() -> Checkout:
    from sqlalchemy.pool import QueuePool

    class Nothing:
        def rollback(self) -> None: ...

        def close(self) -> None: ...

    pool = QueuePool(Nothing, pool_size=1, max_overflow=0)  # type: ignore[arg-type]

    def checkout(body: Body) -> None:
        connection = pool.connect()
        try:
            body()
        finally:
            connection.close()

    return checkout


if __name__ == "__main__":
    main()
