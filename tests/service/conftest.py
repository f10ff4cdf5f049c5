"""What the tests of the service share: a running one, and a caller over plain HTTP, not the SDK."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appid_manager_client.testing import LocalService
from tests.support.ours import our_service
from tests.support.postgres import PostgresServer
from tests.support.replicated import Replicas


class Api:
    """Calls the service and returns `(status, body)`."""

    def __init__(self, service: LocalService) -> None:
        self.service = service
        self.session = requests.Session()
        self.session.trust_env = False
        if service.auth_token is not None:
            self.session.headers["X-API-Key"] = service.auth_token

    def post(self, call: str, body: Any) -> tuple[int, dict[str, Any]]:
        answer = self.session.post(f"{self.service.url}/api/appid/{call}", json=body, timeout=30)
        return answer.status_code, answer.json()

    def get(self, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
        answer = self.session.get(f"{self.service.url}{path}", params=query, timeout=30)
        return answer.status_code, answer.json()

    def init(self, product: str, appids: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
        return self.post("init", {"productName": product, "appids": appids, **more})

    def acquire(self, product: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return self.post("acquire", {"productName": product, **more})

    def release(self, product: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return self.post("release", {"productName": product, **more})

    def heartbeat(self, *lease_ids: str) -> tuple[int, dict[str, Any]]:
        return self.post("heartbeat", {"leaseIds": list(lease_ids)})

    def status(self, product: str) -> dict[str, Any]:
        code, body = self.get("/api/appid/status", productName=product)
        assert code == 200
        return body

    def entry(self, product: str, appid: str) -> dict[str, Any]:
        found: dict[str, Any]
        (found,) = [e for e in self.status(product)["appids"] if e["appid"] == appid]
        return found


@pytest.fixture
def service() -> Iterator[LocalService]:
    with our_service() as running:
        running.clock.freeze()
        yield running


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


@pytest.fixture(params=["sqlite", "replicas"])
def service_on_each_engine(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[LocalService]:
    """As `service`, on SQLite and as two replicas on PostgreSQL."""
    if request.param == "sqlite":
        made = LocalService(database=tmp_path / "appids.db")
    else:
        replicas: Replicas = request.getfixturevalue("replicas")
        made = replicas.service()
    with made as running:
        running.clock.freeze()
        yield running


@pytest.fixture
def api(service: LocalService) -> Iterator[Api]:
    caller = Api(service)
    with caller.session:
        yield caller


@pytest.fixture
def request_id() -> str:
    return str(uuid.uuid4())
