"""The call `reserve` of the wire contract: AppIDs out of use, and back into use."""

from __future__ import annotations

from typing import Any

import pytest

from appid_manager_client.testing import LocalService

from ..conftest import Api

DAY = 24 * 3600


def reserve(
    api: Api, appid: str, reserved: bool = True, product: str = "stt", **more: Any
) -> tuple[int, dict[str, Any]]:
    body = {"appid": appid, "productName": product, "reserved": reserved, **more}
    return api.post("reserve", body)


def state_of(api: Api, appid: str) -> str:
    state: str = api.entry("stt", appid)["status"]
    return state


@pytest.fixture
def service(service_on_each_engine: LocalService) -> LocalService:
    return service_on_each_engine


@pytest.fixture(autouse=True)
def _two_appids(api: Api) -> None:
    api.init("stt", {"a": 1, "b": 2})


def test_a_reserved_one_is_granted_to_nobody(api: Api, service: LocalService) -> None:
    code, answer = reserve(api, "a", note="account under review")
    assert (code, answer["status"], answer["note"]) == (200, "reserved", "account under review")
    assert api.acquire("stt")[1]["appid"] == "b"
    for more in ({}, {"forceAcquire": True}):
        assert api.acquire("stt", **more)[0] == 202
    service.advance_to_next_hour()
    assert api.acquire("stt")[1]["error"] == "waiting"


def test_the_status_shows_it_with_its_note(api: Api) -> None:
    reserve(api, "a", note="account under review")
    status = api.status("stt")
    assert (status["total"], status["available"], status["in_use"]) == (2, 1, 1)
    entry = api.entry("stt", "a")
    assert (entry["status"], entry["is_available"]) == ("reserved", False)
    assert (entry["reserved"], entry["note"]) == (True, "account under review")
    assert "reserved" not in api.entry("stt", "b")


def test_one_in_use_is_reserved_from_its_release_on(api: Api, service: LocalService) -> None:
    _, grant = api.acquire("stt")
    code, answer = reserve(api, "a")
    assert (code, answer["status"]) == (200, "in_use")
    assert api.heartbeat(grant["leaseId"])[1]["lost"] == []
    assert api.entry("stt", "a")["reserved"] is True
    assert api.release("stt", appid="a")[0] == 200
    service.advance_to_next_hour()
    assert state_of(api, "a") == "reserved"
    assert api.acquire("stt")[1]["appid"] == "b"
    assert api.acquire("stt", forceAcquire=True)[0] == 202
    assert api.release("stt", appid="a")[1]["error"] == "already_released"


def test_one_whose_lease_expires_is_reserved_then(api: Api, service: LocalService) -> None:
    api.acquire("stt", ttl=10)
    reserve(api, "a")
    service.advance(11)
    assert state_of(api, "a") == "reserved"


def test_back_in_use_it_is_free_as_its_last_use_allows(api: Api, service: LocalService) -> None:
    api.acquire("stt")
    reserve(api, "a")
    api.release("stt", appid="a")
    assert reserve(api, "a", False)[1]["status"] == "used_in_current_hour"
    reserve(api, "b")
    assert reserve(api, "b", False)[1]["status"] == "available"
    service.advance_to_next_hour()
    assert state_of(api, "a") == "available"
    assert "reserved" not in api.entry("stt", "a")


def test_one_in_use_can_be_had_again_after_its_release(api: Api, service: LocalService) -> None:
    api.acquire("stt")
    reserve(api, "a")
    assert reserve(api, "a", False)[1]["status"] == "in_use"
    assert api.acquire("stt")[1]["appid"] == "b"
    assert api.acquire("stt", forceAcquire=True)[0] == 202
    api.release("stt", appid="a")
    service.advance_to_next_hour()
    assert state_of(api, "a") == "available"


def test_one_in_use_that_is_not_reserved_is_not_taken_from_its_holder(api: Api) -> None:
    api.acquire("stt")
    code, answer = reserve(api, "a", False)
    assert (code, answer["error"]) == (409, "in_use")
    assert state_of(api, "a") == "in_use"


def test_both_calls_can_be_repeated(api: Api) -> None:
    reserve(api, "a", note="first")
    assert reserve(api, "a", note="second")[1]["note"] == "second"
    assert reserve(api, "a")[1]["note"] is None
    for _ in range(2):
        assert reserve(api, "a", False)[1]["status"] == "available"


@pytest.mark.parametrize("keep_state", [False, True])
def test_it_survives_an_init_that_names_it(api: Api, service: LocalService, keep_state) -> None:
    api.acquire("stt")
    reserve(api, "a", note="in use")
    reserve(api, "b", note="idle")
    api.init("stt", {"c": 3, "b": 2, "a": 1}, keepState=keep_state)
    service.restart()
    assert state_of(api, "a") == ("in_use" if keep_state else "reserved")
    assert (state_of(api, "b"), api.entry("stt", "b")["note"]) == ("reserved", "idle")
    api.release("stt", appid="a")
    service.advance_to_next_hour()
    assert (state_of(api, "a"), api.entry("stt", "a")["note"]) == ("reserved", "in use")
    assert api.acquire("stt")[1]["appid"] == "c"


@pytest.mark.parametrize("keep_state", [False, True])
def test_an_init_that_does_not_name_it_removes_it(api: Api, keep_state: bool) -> None:
    reserve(api, "a")
    code, answer = api.init("stt", {"b": 2}, keepState=keep_state)
    assert (code, answer["removed_count"]) == (200, 1 if keep_state else 2)
    assert [entry["appid"] for entry in api.status("stt")["appids"]] == ["b"]
    api.init("stt", {"a": 1, "b": 2}, keepState=keep_state)
    assert state_of(api, "a") == "available"


class TestAfterTheClockWasAhead:
    """An AppID was released then, and would be blocked until that time comes."""

    @pytest.fixture(autouse=True)
    def _released_in_ten_years(self, api: Api, service: LocalService) -> None:
        now = service.now_ms
        self.then = now + 3650 * DAY * 1000
        service.set_time(self.then)
        api.acquire("stt")
        api.release("stt", appid="a")
        service.set_time(now)

    def test_it_is_blocked(self, api: Api, service: LocalService) -> None:
        service.advance_to_next_hour()
        assert state_of(api, "a") == "used_in_current_hour"
        reserve(api, "b")
        (product,) = api.get("/api/appid/products")[1]["products"]
        assert product["next"] == self.then - self.then % 3_600_000 + 3_600_000

    def test_it_is_free_once_it_is_taken_back(self, api: Api) -> None:
        assert reserve(api, "a", False)[1]["status"] == "available"
        entry = api.entry("stt", "a")
        assert (entry["starttime"], entry["stoptime"], entry["fence"]) == (None, None, None)
        _, grant = api.acquire("stt", forceAcquire=True)
        assert grant["appid"] == "a"

    def test_a_use_that_began_in_this_hour_counts(self, api: Api, service: LocalService) -> None:
        now = service.now_ms
        reserve(api, "a", False)
        _, grant = api.acquire("stt")
        service.set_time(now + DAY * 1000)
        api.release("stt", appid=grant["appid"])
        service.set_time(now + 1000)
        answer = reserve(api, grant["appid"], False)[1]
        assert answer["status"] == "used_in_current_hour"
        assert api.entry("stt", grant["appid"])["stoptime"] == grant["starttime"]
        service.advance_to_next_hour()
        assert state_of(api, grant["appid"]) == "available"

    def test_a_use_before_an_init_that_reset_it_does_not_count(
        self, api: Api, service: LocalService
    ) -> None:
        now = service.now_ms
        reserve(api, "a", False)
        api.acquire("stt")
        api.init("stt", {"a": 1})
        service.set_time(self.then)
        api.acquire("stt")
        api.release("stt", appid="a")
        service.set_time(now)
        assert reserve(api, "a", False)[1]["status"] == "available"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"appid": None}, "missing_appid", "appid"),
        ({"appid": ""}, "missing_appid", "appid"),
        ({"productName": None}, "missing_product_name", "productName"),
        ({"reserved": None}, "invalid_request", "reserved"),
        ({"reserved": "yes"}, "invalid_request", "reserved"),
        ({"reserved": 1}, "invalid_request", "reserved"),
        ({"note": 7}, "invalid_request", "note"),
        ({"note": "x" * 501}, "invalid_request", "note"),
        ({"note": "a\0b"}, "invalid_request", "note"),
        ({"appid": "typo"}, "appid_not_found", None),
        ({"productName": "other"}, "product_mismatch", None),
    ],
)
def test_what_it_cannot_use_is_refused(
    api: Api, change: dict[str, Any], code: str, field: str | None
) -> None:
    status, answer = api.post(
        "reserve", {"appid": "a", "productName": "stt", "reserved": True, **change}
    )
    assert (status, answer["error"], answer.get("field")) == (400, code, field)
    assert state_of(api, "a") == "available"


def test_one_that_an_init_removed_cannot_be_reserved(api: Api) -> None:
    """It goes when its holder releases it: a reservation would go with it."""
    api.acquire("stt")
    api.init("stt", {"b": 2}, keepState=True)
    assert reserve(api, "a")[1]["error"] == "appid_not_found"


def test_products_are_counted(api: Api, service: LocalService) -> None:
    api.init("asr", {"c": 1, "d": 2})
    api.acquire("asr")
    reserve(api, "d", product="asr")
    code, answer = api.get("/api/appid/products")
    assert code == 200
    end = service.hour.end
    assert answer == {
        "products": [
            {
                "productName": "asr",
                "total": 2,
                "available": 0,
                "in_use": 2,
                "waiting": 0,
                "next": end,
            },
            {
                "productName": "stt",
                "total": 2,
                "available": 2,
                "in_use": 0,
                "waiting": 0,
                "next": None,
            },
        ],
        "serverTime": service.now_ms,
        "hourEnd": end,
    }


def test_where_all_are_reserved_there_is_no_next_one(api: Api) -> None:
    reserve(api, "a"), reserve(api, "b")
    (product,) = api.get("/api/appid/products")[1]["products"]
    assert (product["available"], product["next"]) == (0, None)
