"""A service with something to see, and browsers that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService

from .browsing import Browser

TOKENS = {"ops": "admin", "ci": "use", "grafana": "read"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LocalService]:
    """Without tokens: whoever reaches it may do everything."""
    with LocalService(database=tmp_path / "appids.db") as running:
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[LocalService]:
    file = tmp_path / "tokens"
    file.write_text("".join(f"{name} {role} secret-of-{name}\n" for name, role in TOKENS.items()))
    file.chmod(0o600)
    with LocalService("secret-of-token", tokens_file=file) as running:
        yield running


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url) as made:
        made.init_product("stt", {"a": 1, "b": 2, "c": 3})
        yield made


@pytest.fixture
def browser(service: LocalService) -> Iterator[Browser]:
    made = Browser(service.url)
    with made.session:
        yield made
