"""The pool of the decorated samples: reset for each test, and with nothing held at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fakepool import FakePool, shared_pool


@pytest.fixture
def pool() -> Iterator[FakePool]:
    shared_pool.reset()
    yield shared_pool
    assert shared_pool.held == []
