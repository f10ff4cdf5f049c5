"""The pool that the decorated samples use, empty at the start of each test, with nothing held at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import ledger


@pytest.fixture
def pool() -> Iterator[ledger.Ledger]:
    fresh = ledger.pool
    vars(fresh).update(vars(ledger.Ledger()))
    yield fresh
    assert fresh.held == []
