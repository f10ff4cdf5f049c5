"""The call `pause` of the wire contract: nothing of a product is granted, and its line stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from ..conftest import Api


def pause(api: Api, paused: bool = True, product: str = "stt", **more: Any) -> dict[str, Any]:
    code, answer = api.post("pause", {"productName": product, "paused": paused, **more})
    assert code == 200
    return answer


def metrics(api: Api) -> str:
    """Those of one of the service's processes: each has its own."""
    return requests.get(f"{api.service.url}/metrics", timeout=30).text


@pytest.fixture
def service(service_on_each_engine: LocalService) -> LocalService:
    return service_on_each_engine


@pytest.fixture(autouse=True)
def _two_appids(api: Api) -> None:
    api.init("stt", {"a": 1, "b": 2})


def test_nothing_is_granted_meanwhile(api: Api, service: LocalService) -> None:
    answer = pause(api, note="billing is wrong")
    assert (answer["paused"], answer["note"]) == (True, "billing is wrong")
    for more in ({}, {"forceAcquire": True}):
        code, waits = api.acquire("stt", **more)
        assert (code, waits["error"], waits["paused"]) == (202, "waiting", True)
        assert (waits["retry_after"], waits["availableAt"]) == (60, service.hour.end)
    api.init("asr", {"c": 3})
    assert api.acquire("asr")[0] == 200, "another product"
    assert pause(api, False)["paused"] is False
    assert api.acquire("stt")[1]["appid"] == "a"


def test_the_turn_of_the_hour_changes_nothing(api: Api, service: LocalService) -> None:
    pause(api)
    service.advance_to_next_hour()
    assert api.acquire("stt")[1]["paused"] is True


def test_the_last_moment_of_an_hour_asks_to_come_back_after_it(
    api: Api, service: LocalService
) -> None:
    pause(api)
    service.advance_to_next_hour(-10)
    assert api.acquire("stt")[1]["retry_after"] == 10


def test_a_lease_goes_on_and_its_request_is_answered_again(api: Api, request_id: str) -> None:
    _, grant = api.acquire("stt", requestId=request_id)
    pause(api)
    assert api.acquire("stt", requestId=request_id)[1]["leaseId"] == grant["leaseId"]
    assert api.heartbeat(grant["leaseId"])[1]["lost"] == []
    assert api.release("stt", appid="a")[0] == 200


def test_it_survives_every_init(api: Api) -> None:
    pause(api)
    api.init("stt", {"b": 2, "c": 3})
    api.init("stt", {"c": 3}, keepState=True)
    assert api.acquire("stt")[1]["paused"] is True


def test_the_line_stands_and_goes_on_at_the_end_of_the_pause(api: Api, request_id: str) -> None:
    pause(api)
    _, waits = api.acquire("stt", requestId=request_id, wait=0)
    assert (waits["place"], waits["paused"]) == (1, True)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(Api(api.service).acquire, "stt", requestId=request_id, wait=20)
        wait_until(lambda: "appid_held_requests 1" in metrics(api), what="it is held")
        pause(api, False)
        code, grant = held.result(10)
    assert (code, grant["appid"]) == (200, "a")


def test_products_and_history_tell_of_it(api: Api, service: LocalService) -> None:
    pause(api, note="billing is wrong", by="Ann")
    pause(api, note="still", by="Bob")
    (product,) = api.get("/api/appid/products")[1]["products"]
    assert (product["paused"], product["pauseNote"]) == (True, "still")
    assert product["pausedSince"] == service.now_ms
    assert api.status("stt")["pauseNote"] == "still"
    pause(api, False), pause(api, False)
    acts = api.get("/api/appid/history", productName="stt")[1]["acts"]
    told = [(act["act"], act["by"], act["note"]) for act in acts[:3]]
    assert told == [
        ("resume", None, None),
        ("pause", "Bob", "still"),
        ("pause", "Ann", "billing is wrong"),
    ]
    assert acts[3]["act"] == "init", "a second end of a pause is no act"


@pytest.mark.parametrize(
    ("change", "code", "error", "field"),
    [
        ({"paused": None}, 400, "invalid_request", "paused"),
        ({"paused": "no"}, 400, "invalid_request", "paused"),
        ({"productName": ""}, 400, "missing_product_name", "productName"),
        ({"note": "x" * 501}, 400, "invalid_request", "note"),
        ({"by": "x" * 201}, 400, "invalid_request", "by"),
        ({"productName": "typo"}, 404, "product_not_found", None),
    ],
)
def test_what_it_cannot_use_is_refused(
    api: Api, change: dict[str, Any], code: int, error: str, field: str | None
) -> None:
    status, answer = api.post("pause", {"productName": "stt", "paused": True, **change})
    assert (status, answer["error"], answer.get("field")) == (code, error, field)
    assert api.acquire("stt")[0] == 200
