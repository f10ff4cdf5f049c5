"""Shared by the suite: one engine for all tests, as in life, so that only the AppID tells their figures apart."""

from __future__ import annotations

import pytest
from billing import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()
