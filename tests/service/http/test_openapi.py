"""`/openapi.json` is true: what it describes is what the service answers, whatever is sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from appid_manager_client.server.http.openapi import document
from appid_manager_client.testing import LocalService

TOKEN = "secret-of-ops"
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)

OPERATIONS = {
    operation.path: operation
    for operation in (
        cast(Any, found).ok()
        for found in schemathesis.openapi.from_dict(document()).get_all_operations()
    )
}
FREE = {"/api/appid/init"}
"""Calls that are sent as they are drawn: they would change what the others look at."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    file = tmp_path_factory.mktemp("openapi") / "tokens"
    file.write_text(f"ops admin {TOKEN}\ngrafana read secret-of-grafana\n")
    file.chmod(0o600)
    with LocalService(tokens_file=file) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _something_is_there(service: LocalService) -> None:
    body = {"productName": "stt", "appids": {"a": 1, "b": "two"}}
    headers = {"X-API-Key": TOKEN}
    url = f"{service.url}/api/appid/init"
    assert requests.post(url, json=body, headers=headers, timeout=30).status_code == 200


@pytest.mark.parametrize("path", OPERATIONS)
def test_no_answer_is_outside_the_description(path: str, service: LocalService) -> None:
    heard: set[int] = set()
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and not takes_something(path):
            continue

        @given(OPERATIONS[path].as_strategy(generation_mode=mode))
        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any) -> None:
            if mode is GenerationMode.POSITIVE and path not in FREE:
                aim(case)
            answer = case.call(base_url=service.url, headers={"X-API-Key": TOKEN}, timeout=30)
            case.validate_response(answer, checks=list(CHECKS))
            heard.add(answer.status_code)

        send()
    (call,) = document()["paths"][path].values()
    assert {int(status) for status in call["responses"] if status.startswith("2")} & heard
    assert 400 in heard or not takes_something(path)


def takes_something(path: str) -> bool:
    (call,) = document()["paths"][path].values()
    return bool(call.get("parameters") or call.get("requestBody"))


def aim(case: Any) -> None:
    """Have requests name what is there: what is drawn by chance never is."""
    for part in (case.body, case.query):
        if isinstance(part, dict):
            part.update({"productName": "stt"} if "productName" in part else {})
            part.update({"appid": "a"} if "appid" in part else {})
            part.update({"paused": False} if "paused" in part else {})
            if case.operation.path == "/api/appid/release" and "note" not in part:
                # It gives up a request, which any request can be.
                part.update(requestId=str(uuid.uuid4()))
                part.pop("appid", None)
                part.pop("ticket", None)


def test_every_path_of_the_service_is_described(service: LocalService) -> None:
    from appid_manager_client.server.http import app

    source = Path(app.__file__).read_text(encoding="utf-8")
    routes = re.findall(r'Route\(\s*"([^"]+)"', source)
    assert set(routes) == set(document()["paths"])


def test_it_needs_no_token_and_names_what_each_call_needs(service: LocalService) -> None:
    found = requests.get(f"{service.url}/openapi.json", timeout=30).json()
    assert found == document()
    for path, methods in found["paths"].items():
        for method, call in methods.items():
            answer = requests.request(method, service.url + path, timeout=30)
            assert (answer.status_code == 401) is (call.get("security") != [])


def test_the_roles_are_those_that_are_asked_for(service: LocalService) -> None:
    headers = {"X-API-Key": "secret-of-grafana"}
    for path, methods in document()["paths"].items():
        for method, call in methods.items():
            answer = requests.request(method, service.url + path, headers=headers, timeout=30)
            needs_more = "role use" in call.get("description", "") or "role admin" in call.get(
                "description", ""
            )
            assert (answer.status_code == 403) is needs_more, path
