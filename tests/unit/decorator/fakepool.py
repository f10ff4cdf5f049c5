"""A stand-in for a pool, which notes what happens to its leases: the tests are about calls."""

from __future__ import annotations

import itertools
from typing import Any


class FakeLease:
    """Enters as itself, as a lease does, and notes in its pool when it is held."""

    def __init__(self, pool: FakePool) -> None:
        self.pool = pool
        self.appid = f"appid{next(pool.numbers)}"
        self.vid = 1

    def __enter__(self) -> FakeLease:
        self.pool.held.append(self.appid)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.pool.held.remove(self.appid)
        self.pool.ended.append((self.appid, kind))

    async def __aenter__(self) -> FakeLease:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.__exit__(kind, *error)


class FakePool:
    """Has an AppID for every call.

    Attributes:
        held: the AppIDs that are held now.
        ended: those that were given back, with the type of the exception that the lease saw.
        asked: the options of each `lease()`.
    """

    product_name = "stt"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.numbers = itertools.count(1)
        self.held: list[str] = []
        self.ended: list[tuple[str, type[BaseException] | None]] = []
        self.asked: list[dict[str, Any]] = []

    def lease(self, **options: Any) -> Any:
        self.asked.append(options)
        return FakeLease(self)

    @property
    def used(self) -> int:
        return len(self.ended)


shared_pool = FakePool()
"""For what is decorated at the top of a module. The fixture `pool` resets it for each test."""
