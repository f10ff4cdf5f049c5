"""Fixtures of the command line's tests: a service, and the command in and out of this process."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import TOKEN, Cli, Spawn


@pytest.fixture(scope="module")
def shared_service() -> Iterator[LocalService]:
    """One service for a module; its tests take products of their own."""
    with LocalService(TOKEN) as running:
        running.clock.freeze()
        yield running


@pytest.fixture
def service() -> Iterator[LocalService]:
    """A service without a token, with one AppID `a1` of the product `p`."""
    with LocalService() as running, AppIdClient(running.url) as client:
        client.init_product("p", {"a1": "v1"})
        yield running


@pytest.fixture
def cli(shared_service: LocalService, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process against the shared service."""
    return Cli(shared_service, capsys)


@pytest.fixture
def product(cli: Cli, tmp_path: Path) -> str:
    """A product of the shared service with two AppIDs that nobody has used yet."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "appids.json"
    file.write_text(json.dumps({f"{name}-1": "v1", f"{name}-2": 2}))
    assert cli("init", name, str(file)).code == 0
    return name


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    with Spawn() as spawn:
        yield spawn
