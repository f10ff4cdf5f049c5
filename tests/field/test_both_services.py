"""What tests for both services rely on: the fixture `any_service` shows both in the same way."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.faults import Fault
from tests.support.services import AnyService


def post(service: AnyService, name: str, **body: Any) -> tuple[int, Any]:
    headers = {"X-API-Key": service.auth_token}
    url = f"{service.url}/api/appid/{name}"
    answer = requests.post(url, json=body, headers=headers, timeout=20)
    return answer.status_code, answer.json()


def test_an_appid_is_granted_once_an_hour(any_service: AnyService) -> None:
    any_service.init("p", {"a": "v1"})
    status, grant = post(any_service, "acquire", productName="p")
    assert (status, grant["appid"], grant["vid"]) == (200, "a", "v1")
    assert any_service.in_use() == any_service.in_use("p") == ["a"]
    assert post(any_service, "release", productName="p", appid="a")[0] == 200
    assert post(any_service, "acquire", productName="p")[0] == 202
    any_service.advance_to_next_hour()
    assert post(any_service, "acquire", productName="p")[0] == 200
    first, second = any_service.grants
    assert (first.appid, first.starttime) == ("a", grant["starttime"])
    assert second.hour - first.hour == 3_600_000


def test_the_clock_runs_and_starts_well_inside_an_hour(any_service: AnyService) -> None:
    assert 2900 < any_service.hour_end() - any_service.now() <= 3000
    any_service.advance(60)
    assert 2840 < any_service.hour_end() - any_service.now() <= 2940
    health = requests.get(f"{any_service.url}/health", timeout=20).json()
    assert abs(health["timestamp"] / 1000 - any_service.now()) < 30
    any_service.advance_to_next_hour(offset=-10)
    assert 0 < any_service.hour_end() - any_service.now() <= 10


def test_a_lost_answer_was_granted(any_service: AnyService) -> None:
    any_service.init("p", {"a": 1})
    any_service.faults.queue("acquire", Fault.LOSE_ANSWER)
    with pytest.raises(requests.ConnectionError):
        post(any_service, "acquire", productName="p")
    assert any_service.in_use() == ["a"]
    assert any_service.calls_of("acquire")[0].body == {"productName": "p"}


def test_connections_are_refused_for_a_while_and_the_state_is_kept(
    any_service: AnyService,
) -> None:
    any_service.init("p", {"a": 1})
    post(any_service, "acquire", productName="p")
    with any_service.refusing():
        with pytest.raises(requests.ConnectionError, match="refused"):
            post(any_service, "acquire", productName="p")
    assert any_service.in_use() == ["a"]
    assert post(any_service, "acquire")[0] == 400


def test_only_ours_speaks_the_extensions(any_service: AnyService) -> None:
    any_service.init("p", {"a": 1})
    _, grant = post(any_service, "acquire", productName="p")
    assert ("leaseId" in grant) is not any_service.is_legacy
    assert post(any_service, "heartbeat", leaseIds=[])[0] == (404 if any_service.is_legacy else 200)


def test_the_token_is_asked_for(any_service: AnyService) -> None:
    url = f"{any_service.url}/api/appid/status"
    assert requests.get(url, headers={"X-API-Key": "wrong"}, timeout=20).status_code == 401
