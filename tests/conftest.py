"""Every test runs with a clean environment and an empty home, reaches nothing but this machine, and leaves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.field import FieldService
from tests.support.isolation import block_the_network, clean_environment, nothing_left_running

_count = itertools.count()


def pytest_configure() -> None:
    block_the_network()


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_count))
    home.mkdir(parents=True)
    with clean_environment(home), nothing_left_running():
        yield


@pytest.fixture
def field_service() -> Iterator[FieldService]:
    """The model of the legacy service, its hours at :00 UTC, on the real clock."""
    with FieldService() as service:
        yield service
