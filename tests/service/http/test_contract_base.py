"""The base of the wire contract, as any client of a field service sees it."""

import pytest


@pytest.fixture
def service(service_on_each_engine):
    return service_on_each_engine


def test_an_acquire_answers_the_appid_its_vid_the_product_and_the_start(api, service):
    api.init("stt", {"a": 7})
    code, body = api.acquire("stt")
    assert code == 200
    assert body["appid"] == "a"
    assert body["vid"] == 7
    assert body["productName"] == "stt"
    assert body["starttime"] == service.now_ms


def test_a_vid_keeps_its_type(api):
    api.init("stt", {"number": 12, "text": "12", "negative": -3})
    vids = {body["appid"]: body["vid"] for _, body in [api.acquire("stt") for _ in range(3)]}
    assert vids == {"number": 12, "text": "12", "negative": -3}
    assert type(vids["number"]) is int


def test_appids_are_granted_in_the_order_given_at_init(api):
    api.init("stt", {"c": 1, "a": 2, "b": 3})
    assert [api.acquire("stt")[1]["appid"] for _ in range(3)] == ["c", "a", "b"]


def test_never_used_appids_come_before_the_least_recently_used(api, service):
    api.init("stt", {"a": 1, "b": 2, "c": 3})
    for appid in ("a", "b"):
        api.acquire("stt")
        service.advance(1)
    api.release("stt", appid="b")
    service.advance(1)
    api.release("stt", appid="a")
    service.advance_to_next_hour()
    assert [api.acquire("stt")[1]["appid"] for _ in range(3)] == ["c", "b", "a"]


def test_all_in_use_is_waiting(api):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    code, body = api.acquire("stt")
    assert (code, body["error"]) == (202, "waiting")
    assert body["message"]


def test_all_used_in_this_hour_is_no_available(api):
    api.init("stt", {"a": 1, "b": 2})
    api.acquire("stt")
    api.acquire("stt")
    api.release("stt", appid="a")
    code, body = api.acquire("stt")
    assert (code, body["error"]) == (202, "no_available")


def test_a_released_appid_is_free_again_when_the_hour_turns_and_not_before(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    api.release("stt", appid="a")
    service.advance_to_next_hour(offset=-0.001)
    assert api.acquire("stt")[0] == 202
    service.advance(0.001)
    assert api.acquire("stt")[0] == 200


def test_a_release_after_the_turn_burns_the_new_hour(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    service.advance_to_next_hour(offset=1)
    api.release("stt", appid="a")
    assert api.acquire("stt")[0] == 202
    service.advance_to_next_hour()
    assert api.acquire("stt")[0] == 200


def test_force_hands_out_what_was_used_in_this_hour(api):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    api.release("stt", appid="a")
    assert api.acquire("stt", forceAcquire=True)[1]["appid"] == "a"


def test_force_never_hands_out_what_is_in_use(api):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    code, body = api.acquire("stt", forceAcquire=True)
    assert (code, body["error"]) == (202, "waiting")
    assert body["availableAt"] == body["serverTime"]
    assert body["retry_after"] == 1


def test_force_takes_a_free_appid_first(api):
    api.init("stt", {"a": 1, "b": 2})
    api.acquire("stt")
    api.release("stt", appid="a")
    assert api.acquire("stt", forceAcquire=True)[1]["appid"] == "b"


def test_a_release_answers_the_stop(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    service.advance(5)
    code, body = api.release("stt", appid="a")
    assert code == 200
    assert body["success"] is True
    assert body["stoptime"] == service.now_ms
    assert body["productName"] == "stt"
    assert body["message"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"productName": "stt", "appid": "nobody"}, "appid_not_found"),
        ({"productName": "other", "appid": "a"}, "product_mismatch"),
        ({"productName": "stt", "appid": "b"}, "not_leased"),
        ({"productName": "stt", "appid": "released"}, "already_released"),
        ({"productName": "stt"}, "missing_appid"),
        ({"productName": "stt", "appid": ""}, "missing_appid"),
        ({"appid": "a"}, "missing_product_name"),
        ({"productName": " ", "appid": "a"}, "missing_product_name"),
        ({"productName": None, "appid": "a"}, "missing_product_name"),
        ({}, "missing_data"),
        (None, "missing_data"),
    ],
)
def test_a_release_that_can_t_be_is_refused_with_its_reason(api, body, error):
    api.init("stt", {"released": 0, "a": 1, "b": 2})
    api.acquire("stt")
    api.acquire("stt")
    api.release("stt", appid="released")
    before = api.status("stt")
    code, answer = api.post("release", body)
    assert (code, answer["error"]) == (400, error)
    assert answer["message"]
    assert api.status("stt") == before


@pytest.mark.parametrize(
    ("call", "body", "error"),
    [
        ("init", {"productName": "stt"}, "missing_appids"),
        ("init", {"productName": "stt", "appids": {}}, "missing_appids"),
        ("init", {"productName": "stt", "appids": None}, "missing_appids"),
        ("init", {"appids": {"a": 1}}, "missing_product_name"),
        ("init", {}, "missing_data"),
        ("acquire", {}, "missing_product_name"),
        ("acquire", None, "missing_product_name"),
        ("acquire", {"productName": ""}, "missing_product_name"),
        ("acquire", {"productName": None}, "missing_product_name"),
    ],
)
def test_a_request_that_lacks_something_is_refused(api, call, body, error):
    code, answer = api.post(call, body)
    assert (code, answer["error"]) == (400, error)


def test_an_init_counts_what_it_removed_and_added(api):
    code, body = api.init("stt", {"a": 1, "b": 2})
    assert (code, body["success"]) == (200, True)
    assert (body["removed_count"], body["added_count"]) == (0, 2)
    _, body = api.init("stt", {"c": 1})
    assert (body["removed_count"], body["added_count"]) == (2, 1)


def test_an_init_replaces_the_appids_and_forgets_their_state(api):
    api.init("stt", {"a": 1, "b": 2})
    api.acquire("stt")
    api.init("stt", {"a": 1, "c": 3})
    status = api.status("stt")
    assert [entry["appid"] for entry in status["appids"]] == ["a", "c"]
    assert status["available"] == 2
    assert status["appids"][0]["starttime"] is None


def test_products_don_t_share_appids(api):
    api.init("stt", {"a": 1})
    api.init("tts", {"b": 2})
    assert api.acquire("tts")[1]["appid"] == "b"
    assert api.acquire("tts")[0] == 202
    assert api.acquire("stt")[1]["appid"] == "a"


def test_appIds_is_taken_for_appids(api):
    code, body = api.post("init", {"productName": "stt", "appIds": {"a": 1}})
    assert (code, body["added_count"]) == (200, 1)


def test_a_status_counts_and_lists(api, service):
    api.init("stt", {"a": 1, "b": 2, "c": "x"})
    api.acquire("stt")
    api.acquire("stt")
    started = service.now_ms
    service.advance(2)
    api.release("stt", appid="a")
    status = api.status("stt")
    assert status["productName"] == "stt"
    assert (status["total"], status["available"], status["in_use"], status["released"]) == (
        3,
        1,
        2,
        0,
    )
    hour = service.hour.start
    assert status["appids"][0] == {
        "appid": "a",
        "vid": 1,
        "productName": "stt",
        "starttime": started,
        "stoptime": started + 2000,
        "status": "used_in_current_hour",
        "is_available": False,
        "stoptime_hour": hour,
        "current_hour": hour,
        "fence": started,
    }
    assert status["appids"][1]["status"] == "in_use"
    assert status["appids"][1]["stoptime"] is None
    assert status["appids"][2] == {
        "appid": "c",
        "vid": "x",
        "productName": "stt",
        "starttime": None,
        "stoptime": None,
        "status": "available",
        "is_available": True,
        "stoptime_hour": None,
        "current_hour": hour,
        "fence": None,
    }


def test_what_was_released_in_an_earlier_hour_is_available(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    api.release("stt", appid="a")
    before = service.hour.start
    service.advance_to_next_hour()
    entry = api.entry("stt", "a")
    assert (entry["status"], entry["is_available"]) == ("available", True)
    assert entry["stoptime_hour"] == before
    assert entry["current_hour"] == service.hour.start


def test_a_status_without_a_product_shows_all_of_them(api):
    api.init("stt", {"a": 1})
    api.init("tts", {"b": 2})
    code, status = api.get("/api/appid/status")
    assert (code, status["total"]) == (200, 2)
    assert "productName" not in status
    assert {entry["productName"] for entry in status["appids"]} == {"stt", "tts"}


def test_a_status_of_an_unknown_product_is_empty(api):
    status = api.status("nobody")
    assert (status["total"], status["appids"]) == (0, [])


def test_health_needs_no_token_and_tells_the_time(api, service):
    code, body = api.get("/health")
    assert code == 200
    assert body["status"] == "healthy"
    assert body["timestamp"] == service.now_ms
