"""What callers hear while the service can do nothing, and what `/health` and `/ready` say then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from sqlalchemy import Connection, Engine, event

from appid_manager_client.server.run import Server
from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from ..conftest import Api


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "appids.db"


@pytest.fixture
def service(database: Path) -> Iterator[LocalService]:
    with LocalService(database=database) as running:
        yield running


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_while_another_process_writes_requests_are_refused_and_then_carried_out(
    api: Api, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.init("p", {"a": 1})
    assert api.get("/ready") == (200, {"status": "ready"})
    with locked(database), caplog.at_level(logging.WARNING):
        answer = api.session.post(
            f"{api.service.url}/api/appid/acquire", json={"productName": "p"}, timeout=5
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        body = answer.json()
        assert body.pop("message").startswith("another process has kept the database locked")
        assert body == {"error": "unavailable", "reason": "locked"}
        code, ready = api.get("/ready")
        assert (code, ready["status"], ready["reason"]) == (503, "unready", "locked")
        code, health = api.get("/health")
        assert (code, health["status"], health["reason"]) == (503, "unhealthy", "locked")
        assert {"message", "serverTime", "hourStart", "hourEnd", "version"} <= health.keys()
        assert api.get("/live") == (200, {"status": "live"})
    wait_until(lambda: api.get("/health")[1]["status"] == "healthy", what="a look that works")
    assert api.get("/ready")[0] == 200
    assert api.acquire("p")[0] == 200
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0].partition(",")[0] for line in lines] == [
        "requests are answered with 503 (locked)",
        "requests are carried out again",
    ]


def test_health_tells_of_a_lock_though_nobody_asks_for_anything(api: Api, database: Path) -> None:
    with locked(database):
        wait_until(lambda: api.get("/health")[0] == 503, what="a look that failed")


def test_once_its_file_is_gone_the_service_refuses_everything_and_says_so_once(
    api: Api, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.init("p", {"a": 1})
    database.unlink()
    for code, body in (
        api.acquire("p"),
        api.release("p", appid="a"),
        api.heartbeat("x"),
        api.init("p", {"a": 1}),
        api.get("/api/appid/status"),
        api.get("/api/appid/history"),
        api.get("/health"),
        api.get("/ready"),
    ):
        assert (code, body["reason"]) == (503, "replaced")
    assert api.get("/live")[0] == 200
    (line,) = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert "stop the service, put the right file in place, and start it" in line
    assert not database.exists()


def test_a_stop_answers_what_is_under_way_and_refuses_what_is_new(
    service: LocalService,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """While the port is still open: that is a tenth of a second, which is made longer here."""
    api.init("p", {"a": 1})
    entered, go_on = threading.Event(), threading.Event()
    shutdown = Server.shutdown

    async def late_shutdown(self: Server, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(go_on.wait, 30)
        await shutdown(self, sockets)

    def blocking_write(connection: Connection) -> None:
        if connection.engine.url.render_as_string() == service._settings.database:
            entered.set()
            assert go_on.wait(30)

    monkeypatch.setattr(Server, "shutdown", late_shutdown)
    event.listen(Engine, "commit", blocking_write)
    request.addfinalizer(lambda: event.remove(Engine, "commit", blocking_write))
    with ThreadPoolExecutor(2) as threads:
        under_way = threads.submit(api.acquire, "p")
        assert entered.wait(30)
        stopped = threads.submit(service.stop)
        with requests.Session() as session:
            ready = f"{service.url}/ready"
            wait_until(lambda: session.get(ready, timeout=30).status_code == 503)
            answer = session.post(f"{service.url}/api/appid/acquire", json={}, timeout=30)
            assert (answer.status_code, answer.json()["reason"]) == (503, "stopping")
            assert session.get(f"{service.url}/live", timeout=30).status_code == 200
        go_on.set()
        assert under_way.result(30)[0] == 200
        stopped.result(30)
