"""The engines over which the tests of the store run: what is true of one is true of the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The server of the databases; `None` for SQLite, which has none."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server


@pytest.fixture
def database_url(database_server: PostgresServer | None, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each engine in turn."""
    if database_server is None:
        yield f"sqlite:///{tmp_path / 'appids.db'}"
    else:
        with database_server.database() as url:
            yield url
