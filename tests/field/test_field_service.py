"""The model of a field service keeps the base of the wire contract, traps included.

It also fails in each way that a test asks for.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from tests.support.faults import Fault
from tests.support.field import FieldService

TEN_O_CLOCK = 1_700_002_800.0  # 2023-11-14 23:00:00 UTC: an hour begins here
assert TEN_O_CLOCK % 3600 == 0


@pytest.fixture
def field() -> Iterator[FieldService]:
    """Ten minutes into an hour; the product p has the AppID a."""
    with FieldService(frozen_at=TEN_O_CLOCK + 600) as service:
        service.init("p", {"a": 1})
        yield service


def call(service: FieldService, name: str, body: Any = None, **options: Any) -> requests.Response:
    headers = {"X-API-Key": service.auth_token or ""}
    options = {"timeout": 20, "headers": headers, "allow_redirects": False, **options}
    with requests.Session() as session:
        session.trust_env = False
        if name in ("status", "health"):
            path = "/health" if name == "health" else "/api/appid/status"
            return session.get(service.url + path, **options)
        return session.post(f"{service.url}/api/appid/{name}", json=body, **options)


def acquire(service: FieldService, product: str = "p", **fields: Any) -> requests.Response:
    return call(service, "acquire", {"productName": product, **fields})


def release(service: FieldService, appid: str, product: str = "p") -> requests.Response:
    return call(service, "release", {"appid": appid, "productName": product})


def entry(service: FieldService, appid: str) -> dict[str, Any]:
    return next(e for e in call(service, "status").json()["appids"] if e["appid"] == appid)


# The rule of the hour


def test_appids_are_granted_in_the_order_of_init_with_the_service_s_time(
    field: FieldService,
) -> None:
    call(field, "init", {"productName": "p", "appids": {"b": 2, "a": 1}})
    assert acquire(field).json() == {
        "appid": "b",
        "vid": 2,
        "productName": "p",
        "starttime": int((TEN_O_CLOCK + 600) * 1000),
    }
    assert acquire(field).json()["appid"] == "a"
    assert field.in_use() == ["b", "a"]


def test_an_appid_is_granted_once_an_hour_and_again_after_the_turn(field: FieldService) -> None:
    acquire(field)
    assert release(field, "a").json()["success"] is True
    assert acquire(field).json()["error"] == "no_available"
    field.advance_to_next_hour()
    assert acquire(field).json()["appid"] == "a"
    assert [grant.hour for grant in field.grants] == [
        TEN_O_CLOCK * 1000,
        (TEN_O_CLOCK + 3600) * 1000,
    ]


def test_an_appid_released_after_the_turn_is_burned_for_the_new_hour(field: FieldService) -> None:
    acquire(field)
    field.advance_to_next_hour(offset=1)
    release(field, "a")
    assert acquire(field).json()["error"] == "no_available"


@pytest.mark.parametrize(
    ("zone_minutes", "turn_minute"), [(0, 0), (330, 30), (345, 15), (-570, 30)]
)
def test_hours_turn_where_the_zone_of_the_service_turns_them(
    zone_minutes: int, turn_minute: int
) -> None:
    with FieldService(frozen_at=TEN_O_CLOCK, zone_offset_minutes=zone_minutes) as service:
        service.init("p", {"a": 1})
        acquire(service)
        service.set_time(TEN_O_CLOCK + (turn_minute * 60 or 3600) - 1)
        release(service, "a")
        assert acquire(service).status_code == 202
        service.advance(1)
        assert acquire(service).status_code == 200
        assert entry(service, "a")["current_hour"] / 60_000 % 60 == turn_minute


def test_forced_acquires_take_what_was_used_this_hour_but_never_what_is_in_use(
    field: FieldService,
) -> None:
    acquire(field)
    assert acquire(field, forceAcquire=True).status_code == 202
    release(field, "a")
    assert acquire(field, forceAcquire=True).json()["appid"] == "a"
    assert [grant.forced for grant in field.grants] == [False, True]


@pytest.mark.parametrize(("seconds_left", "said"), [(3000, 300), (299.9, 299), (1.5, 1), (0.9, 0)])
def test_retry_after_is_truncated_and_at_most_five_minutes(
    field: FieldService, seconds_left: float, said: int
) -> None:
    acquire(field)
    release(field, "a")
    field.set_time(TEN_O_CLOCK + 3600 - seconds_left)
    answer = acquire(field)
    assert (answer.status_code, answer.json()["retry_after"]) == (202, said)


def test_all_in_use_and_an_unknown_product_both_wait_a_minute_for_ever(field: FieldService) -> None:
    acquire(field)
    for product in ("p", "no such product"):
        answer = acquire(field, product)
        assert answer.status_code == 202
        assert (answer.json()["error"], answer.json()["retry_after"]) == ("waiting", 60)


def test_one_in_use_and_the_others_used_up_is_no_available(field: FieldService) -> None:
    field.init("p", {"a": 1, "b": 2})
    acquire(field)
    acquire(field)
    assert acquire(field).json()["error"] == "waiting"
    release(field, "a")
    assert acquire(field).json()["error"] == "no_available"


def test_a_forced_acquire_passes_over_what_was_never_used(field: FieldService) -> None:
    field.init("p", {"a": 1, "b": 2})
    answer = acquire(field, forceAcquire=True)
    assert (answer.status_code, answer.json()["error"]) == (202, "waiting")
    acquire(field)
    release(field, "a")
    assert acquire(field, forceAcquire=True).json()["appid"] == "a"


def test_hours_can_be_shortened() -> None:
    with FieldService(frozen_at=TEN_O_CLOCK, hour_seconds=2) as service:
        service.init("p", {"a": 1})
        acquire(service)
        release(service, "a")
        service.advance(1.5)
        assert acquire(service).status_code == 202
        service.advance(0.5)
        assert acquire(service).status_code == 200
        assert entry(service, "a")["current_hour"] == (TEN_O_CLOCK + 2) * 1000


# The traps


def test_releasing_what_was_never_acquired_makes_it_unusable_for_plain_acquires(
    field: FieldService,
) -> None:
    assert release(field, "a").status_code == 200
    assert acquire(field).json()["error"] == "no_available"
    field.advance(24 * 3600)
    assert acquire(field).json()["error"] == "waiting"
    assert release(field, "a").json()["error"] == "already_released"
    assert entry(field, "a")["is_available"] is False
    assert (entry(field, "a")["starttime"], entry(field, "a")["status"]) == (None, "released")


def test_a_forced_acquire_and_a_release_bring_it_back_to_life(field: FieldService) -> None:
    release(field, "a")
    assert acquire(field, forceAcquire=True).json()["appid"] == "a"
    release(field, "a")
    field.advance(3600)
    assert acquire(field).json()["appid"] == "a"


def test_an_init_that_fails_on_a_vid_has_removed_the_old_and_added_those_before(
    field: FieldService,
) -> None:
    field.init("p", {"old": 1})
    body = {"productName": "p", "appids": {"a": 1, "b": "x", "c": 3}}
    assert call(field, "init", body).status_code == 500
    assert [each["appid"] for each in call(field, "status").json()["appids"]] == ["a"]


def test_the_appid_of_a_dead_holder_is_never_freed(field: FieldService) -> None:
    acquire(field)
    field.advance(1000 * 3600)
    assert field.in_use() == ["a"]
    assert acquire(field).status_code == 202


def test_vids_are_stored_as_integers_and_others_are_an_internal_error(field: FieldService) -> None:
    assert call(field, "init", {"productName": "p", "appids": {"a": "17"}}).status_code == 200
    assert entry(field, "a")["vid"] == 17
    answer = call(field, "init", {"productName": "p", "appids": {"a": "vid1"}})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")


def test_text_vids_are_accepted_where_the_test_says_so() -> None:
    with FieldService(accept_text_vids=True) as service:
        service.init("p", {"a": "vid1"})
        assert acquire(service).json()["vid"] == "vid1"


def test_init_replaces_the_product_and_forgets_its_state(field: FieldService) -> None:
    field.init("p", {"a": 1, "b": 2})
    field.init("other", {"c": 3})
    acquire(field)
    answer = call(field, "init", {"productName": "p", "appids": {"a": 1}}).json()
    assert (answer["removed_count"], answer["added_count"]) == (2, 1)
    assert field.in_use() == []
    assert acquire(field).json()["appid"] == "a"
    assert call(field, "status").json()["total"] == 2


def test_a_restart_forgets_everything(field: FieldService) -> None:
    acquire(field)
    field.forget()
    assert call(field, "status").json()["total"] == 0
    assert release(field, "a").json()["error"] == "appid_not_found"


def test_extensions_are_unknown_and_their_fields_ignored(field: FieldService) -> None:
    granted = acquire(field, requestId="r", ttl=1, holder="h").json()
    assert set(granted) == {"appid", "vid", "productName", "starttime"}
    assert acquire(field, requestId="r").status_code == 202
    assert call(field, "heartbeat", {"leaseIds": []}).status_code == 404
    assert set(call(field, "health").json()) == {"status", "timestamp"}
    body = {"appid": "a", "productName": "p", "leaseId": "no such lease"}
    assert call(field, "release", body).status_code == 200


# Refusals and forms


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("acquire", {}, "missing_product_name"),
        ("acquire", {"productName": ""}, "missing_product_name"),
        ("release", {}, "missing_data"),
        ("release", {"productName": "p"}, "missing_appid"),
        ("release", {"appid": "a"}, "missing_product_name"),
        ("release", {"appid": "x", "productName": "p"}, "appid_not_found"),
        ("release", {"appid": "a", "productName": "q"}, "product_mismatch"),
        ("init", {}, "missing_data"),
        ("init", {"appids": {"a": 1}}, "missing_product_name"),
        ("init", {"productName": "p"}, "missing_appids"),
    ],
)
def test_a_refusal_is_a_400_with_its_code(
    field: FieldService, name: str, body: Any, code: str
) -> None:
    answer = call(field, name, body)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert answer.json()["message"]


def test_a_second_release_is_already_released(field: FieldService) -> None:
    acquire(field)
    release(field, "a")
    answer = release(field, "a")
    assert (answer.status_code, answer.json()["error"]) == (400, "already_released")


def test_what_is_not_json_or_has_the_wrong_type_is_an_internal_error(field: FieldService) -> None:
    headers = {"X-API-Key": field.auth_token or ""}
    for body in (b"{", b'{"productName": ["p"]}', b"[1]"):
        answer = requests.post(
            f"{field.url}/api/appid/release", data=body, headers=headers, timeout=20
        )
        assert answer.status_code in (400, 500), body
    answer = requests.post(f"{field.url}/api/appid/init", data=b"{", headers=headers, timeout=20)
    assert answer.json()["error"] == "internal_error"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"X-API-Key": "field-token"}, 200),
        ({"Authorization": "Bearer field-token"}, 200),
    ],
)
def test_every_call_but_health_needs_the_token(
    field: FieldService, headers: dict[str, str], status: int
) -> None:
    assert call(field, "status", headers=headers).status_code == status
    assert call(field, "health", headers=headers).status_code == 200


def test_a_status_shows_each_state_and_counts_used_ones_as_in_use(field: FieldService) -> None:
    field.init("p", {"old": 1, "used": 2, "held": 3, "fresh": 4})
    acquire(field)
    release(field, "old")
    field.advance_to_next_hour()
    for _ in range(3):
        acquire(field)
    release(field, "used")
    field.model.release({"appid": "old", "productName": "p"})
    field.init("q", {"other": 5})
    status = call(field, "status", params={"productName": "p"}).json()
    assert [e["status"] for e in status["appids"]] == [
        "used_in_current_hour",
        "used_in_current_hour",
        "in_use",
        "available",
    ]
    counts = [status[key] for key in ("total", "available", "in_use", "released")]
    assert counts == [4, 1, 3, 0]
    assert status["productName"] == "p"
    field.advance_to_next_hour()
    old = entry(field, "old")
    assert (old["status"], old["is_available"]) == ("released", True)
    assert old["stoptime_hour"] == (TEN_O_CLOCK + 3600) * 1000
    assert old["current_hour"] == (TEN_O_CLOCK + 7200) * 1000


def test_the_answer_is_http_1_0_with_the_service_s_date_and_ends_the_connection(
    field: FieldService,
) -> None:
    with socket.create_connection(("127.0.0.1", int(field.url.rpartition(":")[2])), 20) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.startswith(b"HTTP/1.0 200 OK\r\n")
    date = requests.get(f"{field.url}/health", timeout=20).headers["Date"]
    assert parsedate_to_datetime(date).timestamp() == TEN_O_CLOCK + 600


def test_an_offset_clock_runs_with_the_real_one() -> None:
    with FieldService(offset=-30) as service:
        before = time.time()
        said = call(service, "health").json()["timestamp"] / 1000
        assert before - 30.001 <= said <= time.time() - 30
        service.advance(60)
        assert call(service, "health").json()["timestamp"] / 1000 >= before + 30 - 0.001


# Faults, gates, logs


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        (Fault.INTERNAL_ERROR, 500, ("Content-Type", "application/json")),
        (Fault.UNAVAILABLE, 503, ("Retry-After", "7")),
        (Fault.TOO_MANY_REQUESTS, 429, ("Retry-After", "7")),
        (Fault.HTML, 200, ("Content-Type", "text/html; charset=utf-8")),
        (Fault.REDIRECT, 302, ("Location", "http://127.0.0.1:9/there")),
    ],
)
def test_a_failing_answer_did_nothing(
    field: FieldService, fault: Fault, status: int, header: tuple[str, str]
) -> None:
    field.faults.queue("acquire", fault, retry_after=7, location="http://127.0.0.1:9/there")
    answer = acquire(field)
    assert (answer.status_code, answer.headers[header[0]]) == (status, header[1])
    assert field.in_use() == []


def test_an_answer_of_the_wrong_shape_is_json_all_the_same(field: FieldService) -> None:
    field.faults.queue("status", Fault.WRONG_SHAPE)
    assert isinstance(call(field, "status").json(), list)


def test_faults_strike_as_often_as_told_and_on_their_path_alone(field: FieldService) -> None:
    field.faults.queue("acquire", Fault.INTERNAL_ERROR, times=2)
    assert call(field, "status").status_code == 200
    assert [acquire(field).status_code for _ in range(3)] == [500, 500, 200]
    field.faults.queue(None, Fault.INTERNAL_ERROR)
    assert call(field, "health").status_code == 500
    assert field.faults.pending == 0


def test_a_hanging_call_acts_when_it_is_released(field: FieldService) -> None:
    hanging = field.faults.queue("acquire", Fault.HANG)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(acquire, field)
        hanging.wait_reached()
        assert field.in_use() == []
        hanging.release()
        assert answer.result(20).json()["appid"] == "a"


def test_a_hanging_call_whose_caller_leaves_does_nothing(field: FieldService) -> None:
    field.faults.queue("acquire", Fault.HANG)
    with pytest.raises(requests.Timeout):
        call(field, "acquire", {"productName": "p"}, timeout=0.1)
    field.close()
    assert field.grants == []


def test_calls_are_logged_as_they_came(field: FieldService) -> None:
    field.faults.queue("acquire", Fault.LOSE_ANSWER)
    with pytest.raises(requests.ConnectionError):
        acquire(field, requestId="r-1")
    call(field, "status", params={"productName": "p q"})
    first, second = field.calls
    assert (first.method, first.path) == ("POST", "/api/appid/acquire")
    assert first.body == {"productName": "p", "requestId": "r-1"}
    assert first.header("x-api-key") == "field-token"
    assert (first.time, first.fault) == (TEN_O_CLOCK + 600, Fault.LOSE_ANSWER)
    assert second.query == {"productName": "p q"}
    assert field.calls_of("status") == [second]


def test_many_callers_at_once_never_share_an_appid(field: FieldService) -> None:
    field.init("p", {f"a{n}": n for n in range(40)})
    with ThreadPoolExecutor(8) as pool:
        appids = list(pool.map(lambda _: acquire(field).json()["appid"], range(40)))
    assert sorted(appids) == sorted(field.in_use())
    assert len(set(appids)) == 40


def test_the_end_leaves_no_thread_even_with_a_held_and_a_half_sent_request() -> None:
    with FieldService() as service:
        service.init("p", {"a": 1})
        port = int(service.url.rpartition(":")[2])
        gate = service.hold("status")
        with socket.create_connection(("127.0.0.1", port), 20) as half:
            half.sendall(b"POST /api/appid/init HTTP/1.1\r\nContent-Le")
            with socket.create_connection(("127.0.0.1", port), 20) as held:
                held.sendall(b"GET /api/appid/status HTTP/1.1\r\n\r\n")
                gate.wait_reached()
                service.close()
    for thread in threading.enumerate():
        if thread.name.startswith("field-service"):
            thread.join(20)
            assert not thread.is_alive()
