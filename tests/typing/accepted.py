"""What type checkers must accept, and the types that they must see.

Checked by `test_typing.py`, never run.
"""

# pyright: strict
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from appid_manager_client import INJECTED, AppIdClient, Lease, LeasePool, uses_appid

client = AppIdClient("http://localhost:5000")
pool = client.pool("stt_billing")
mine = client.lease("stt_billing")
assert_type(pool, LeasePool)
assert_type(INJECTED, Lease)


def appid_of(lease: Lease) -> str:
    """Any lease has what its holder needs."""
    with lease as entered:
        assert_type(entered, Lease)
        lease.check()
        assert_type(lease.holder, str | None)
        assert_type(lease.lease_id, str | None)
        assert_type(lease.fence, int | None)
        assert_type(lease.as_dict(), dict[str, str | int | None])
    return f"{lease.appid} {lease.vid} {lease.held} {lease.remaining}"


appid_of(mine)
appid_of(pool.lease())
appid_of(INJECTED)


def product_of(minutes: int, *, held: Lease | None = None) -> str:
    return "stt_billing"


@uses_appid("stt_billing")
def bill(minutes: int, rate: float = 1.0, *, lease: Lease = INJECTED) -> str:
    assert_type(lease, Lease)
    return lease.appid


assert_type(bill(3), str)
assert_type(bill(3, 2.5), str)
assert_type(bill(minutes=3), str)
assert_type(bill(3, lease=mine), str)
assert_type(bill(3, lease=pool.lease(timeout=1)), str)


@uses_appid("stt_billing", client=client, inject=None, timeout=3, holder="billing", ttl=None)
def counts() -> int:
    return 1


assert_type(counts(), int)


@uses_appid(product_of, inject="held", max_retries=0, on_lost=print)
def chosen(minutes: int, *, held: Lease | None = None) -> None: ...


chosen(3)


@uses_appid(pool=pool, timeout=3, min_remaining=60)
def pooled(minutes: int, *, lease: Lease = INJECTED) -> str:
    return lease.appid


assert_type(pooled(1), str)


@uses_appid("stt_billing", pool=pool, inject="held")
def pooled_too(*, held: Lease = INJECTED) -> None: ...


pooled_too()


@uses_appid("stt_billing")
async def coroutine(x: int, *, lease: Lease = INJECTED) -> bytes:
    return b""


assert_type(asyncio.run(coroutine(1)), bytes)


@uses_appid("stt_billing")
def generator(n: int, *, lease: Lease = INJECTED) -> Iterator[int]:
    yield n


assert_type(list(generator(1)), list[int])


@uses_appid("stt_billing")
async def async_generator(n: int, *, lease: Lease = INJECTED) -> AsyncIterator[int]:
    yield n


async def collect() -> list[int]:
    return [item async for item in async_generator(1)]


class Job:
    @uses_appid("stt_billing")
    def run(self, x: int, *, lease: Lease = INJECTED) -> str:
        return lease.appid

    @classmethod
    @uses_appid("stt_billing")
    def below_class(cls, x: int, *, lease: Lease = INJECTED) -> Job:
        return cls()

    @staticmethod
    @uses_appid("stt_billing")
    def below_static(x: int, *, lease: Lease = INJECTED) -> str:
        return ""

    @uses_appid("stt_billing")
    @classmethod
    def above_class(cls, x: int, *, lease: Lease = INJECTED) -> Job:
        return cls()

    @uses_appid("stt_billing")
    @staticmethod
    def above_static(x: int, *, lease: Lease = INJECTED) -> str:
        return ""

    @property
    @uses_appid("stt_billing")
    def cost(self) -> int:
        return 1

    @uses_appid("stt_billing")
    def __call__(self, x: int, *, lease: Lease = INJECTED) -> float:
        return 1.0


job = Job()
assert_type(job.run(1), str)
assert_type(Job.run(job, 1), str)
assert_type(Job.below_class(1), Job)
assert_type(job.below_static(1), str)
assert_type(Job.above_class(1), Job)
assert_type(Job.above_static(1), str)
assert_type(job.cost, int)
assert_type(job(1), float)
