"""The web application of docs/hour.md, under a web server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.webserver import under_uvicorn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hour.md"


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService() as service:
        service.clock.freeze()  # away from the turn of the hour, whenever the test runs
        yield service


@pytest.fixture
def client(service: LocalService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url) as client:
        client.init_product("stt_billing", {"a1": 1})
        yield client


@contextmanager
def application(client: AppIdClient) -> Iterator[str]:
    text = PAGE.read_text(encoding="utf-8")
    source = re.search(r"^```python\n(import contextlib\n.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert source is not None, f"no snippet of {PAGE} begins with 'import contextlib'"
    lines_above = "\n" * text.count("\n", 0, source.start(1))  # for the lines of a traceback
    code = lines_above + source.group(1).replace("timeout=5", "timeout=0.2")
    names: dict[str, Any] = {"client": client}
    exec(compile(code, str(PAGE), "exec"), names)
    with under_uvicorn(names["app"]) as url:
        yield f"{url}/bill"


def test_it_bills_to_an_appid_that_is_given_back_when_it_stops(
    service: LocalService, client: AppIdClient
) -> None:
    with application(client) as url:
        for _ in range(2):
            assert requests.post(url, timeout=30).json() == {"billed_to": "a1"}
        assert service.status()["appids"][0]["status"] == "in_use"
    assert service.status()["appids"][0]["status"] == "used_in_current_hour"


def test_it_answers_503_when_every_appid_is_taken(client: AppIdClient) -> None:
    client.acquire_appid("stt_billing")
    with application(client) as url:
        refused = requests.post(url, timeout=30)
    assert refused.status_code == 503
    assert "stt_billing" in refused.json()["error"]
