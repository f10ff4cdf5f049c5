"""A stand-in for a pool that writes down what happens to its leases: the decorator's tests are about the calls."""

from __future__ import annotations

import itertools
from typing import Any


class LedgerLease:
    """Yields itself, as a lease does, and counts."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.appid = f"appid{next(ledger.numbers)}"
        self.vid = 1

    def __enter__(self) -> LedgerLease:
        self.ledger.held.append(self.appid)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.ledger.held.remove(self.appid)
        self.ledger.ended.append((self.appid, kind))

    async def __aenter__(self) -> LedgerLease:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.__exit__(kind, error, trace)


class Ledger:
    """`held` has the AppIDs held now, `ended` those given back with the exception they saw, `asked` the options."""

    product_name = "stt"

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.held: list[str] = []
        self.ended: list[tuple[str, Any]] = []
        self.asked: list[dict[str, Any]] = []

    def lease(self, **options: Any) -> LedgerLease:
        self.asked.append(options)
        return LedgerLease(self)

    @property
    def used(self) -> int:
        return len(self.ended)


pool = Ledger()
"""For what is decorated at the top of a module; `pool` the fixture clears it."""
