"""One engine for all tests of the suite, so that only the AppID separates their figures."""

from __future__ import annotations

import pytest
from billing import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()
