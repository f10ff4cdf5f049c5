"""The extensions of the wire contract: request ids, leases that expire, heartbeats, history."""

import pytest

DAY = 24 * 3600


@pytest.fixture
def service(service_on_each_engine):
    return service_on_each_engine


def test_a_grant_names_its_lease_and_the_hour(api, service):
    api.init("stt", {"a": 1})
    _, grant = api.acquire("stt", ttl=30)
    assert grant["leaseId"]
    assert grant["expiresAt"] == service.now_ms + 30_000
    assert grant["serverTime"] == service.now_ms
    assert grant["hourEnd"] == service.hour.end


def test_a_lease_without_a_ttl_never_expires(api, service):
    api.init("stt", {"a": 1})
    assert api.acquire("stt")[1]["expiresAt"] is None
    service.advance(100 * DAY)
    assert api.entry("stt", "a")["status"] == "in_use"


def test_a_wait_says_when_the_next_try_can_succeed(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    service.advance_to_next_hour(offset=-12.5)
    _, wait = api.acquire("stt")
    assert wait["availableAt"] == wait["hourEnd"] == service.hour.end
    assert wait["serverTime"] == service.now_ms
    assert wait["retry_after"] == 13


def test_a_wait_is_told_as_at_most_300_seconds(api):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    assert api.acquire("stt")[1]["retry_after"] == 300


def test_an_unknown_product_is_not_found(api):
    code, body = api.acquire("typo")
    assert (code, body["error"]) == (404, "product_not_found")
    assert "typo" in body["message"]


def test_the_same_request_gets_the_same_grant(api, request_id):
    api.init("stt", {"a": 1, "b": 2})
    first = api.acquire("stt", requestId=request_id, ttl=60)
    assert api.acquire("stt", requestId=request_id, ttl=60) == first
    assert api.status("stt")["available"] == 1


def test_the_same_request_gets_the_same_grant_in_a_later_hour_and_after_a_restart(
    api, service, request_id
):
    api.init("stt", {"a": 1, "b": 2})
    _, first = api.acquire("stt", requestId=request_id)
    service.advance(2 * DAY)
    service.restart()
    _, again = api.acquire("stt", requestId=request_id)
    assert (again["leaseId"], again["starttime"]) == (first["leaseId"], first["starttime"])


def test_a_request_that_waited_may_ask_again(api, service, request_id):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    assert api.acquire("stt", requestId=request_id)[0] == 202
    api.release("stt", appid="a")
    service.advance_to_next_hour()
    assert api.acquire("stt", requestId=request_id)[0] == 200


def test_a_request_whose_lease_ended_is_refused_for_24_hours(api, service, request_id):
    api.init("stt", {"a": 1})
    api.acquire("stt", requestId=request_id)
    api.release("stt", appid="a")
    service.advance(DAY - 1)
    code, body = api.acquire("stt", requestId=request_id)
    assert (code, body["error"]) == (409, "request_ended")
    service.advance(1)
    assert api.acquire("stt", requestId=request_id)[0] == 200


def test_the_same_request_for_another_product_is_refused(api, request_id):
    api.init("stt", {"a": 1})
    api.init("tts", {"b": 1})
    api.acquire("stt", requestId=request_id)
    code, body = api.acquire("tts", requestId=request_id)
    assert (code, body["error"], body["field"]) == (400, "invalid_request", "requestId")


def test_giving_up_a_request_releases_what_it_got(api, request_id):
    api.init("stt", {"a": 1})
    api.acquire("stt", requestId=request_id)
    code, body = api.release("stt", requestId=request_id)
    assert (code, body["success"], body["appid"]) == (200, True, "a")
    assert api.entry("stt", "a")["status"] == "used_in_current_hour"
    assert api.release("stt", requestId=request_id)[0] == 200
    assert api.acquire("stt", requestId=request_id)[1]["error"] == "request_ended"


def test_a_request_given_up_before_it_got_anything_never_will(api, service, request_id):
    api.init("stt", {"a": 1})
    code, body = api.release("stt", requestId=request_id)
    assert (code, body["success"], body["appid"]) == (200, True, None)
    assert api.release("stt", requestId=request_id)[0] == 200
    code, body = api.acquire("stt", requestId=request_id)
    assert (code, body["error"]) == (409, "request_abandoned")
    service.advance(DAY)
    assert api.acquire("stt", requestId=request_id)[0] == 200


def test_a_request_given_up_under_another_product_is_refused(api, request_id):
    api.init("stt", {"a": 1})
    api.acquire("stt", requestId=request_id)
    code, body = api.release("tts", requestId=request_id)
    assert (code, body["error"]) == (400, "product_mismatch")
    assert api.entry("stt", "a")["status"] == "in_use"


def test_a_release_for_a_lease_that_is_over_changes_nothing(api, service):
    api.init("stt", {"a": 1})
    _, old = api.acquire("stt")
    api.release("stt", appid="a", leaseId=old["leaseId"])
    service.advance_to_next_hour()
    api.acquire("stt")
    before = api.status("stt")
    code, body = api.release("stt", appid="a", leaseId=old["leaseId"])
    assert (code, body["error"]) == (409, "lease_mismatch")
    assert api.status("stt") == before


def test_a_release_for_the_lease_that_holds_the_appid_counts(api):
    api.init("stt", {"a": 1})
    _, grant = api.acquire("stt")
    assert api.release("stt", appid="a", leaseId=grant["leaseId"])[0] == 200


def test_a_lease_ends_by_itself_at_its_expiry_however_late_that_is_noticed(api, service):
    api.init("stt", {"a": 1})
    _, grant = api.acquire("stt", ttl=60)
    service.advance_to_next_hour(offset=1800)
    entry = api.entry("stt", "a")
    assert (entry["status"], entry["stoptime"]) == ("available", grant["expiresAt"])
    (lease,) = api.get("/api/appid/history")[1]["leases"]
    assert (lease["ended"], lease["stoptime"]) == ("expired", grant["expiresAt"])


def test_a_lease_lives_until_its_expiry(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt", ttl=60)
    service.advance(59.999)
    assert api.entry("stt", "a")["status"] == "in_use"
    service.advance(0.001)
    assert api.entry("stt", "a")["status"] == "used_in_current_hour"


def test_a_heartbeat_extends_each_lease_by_its_own_ttl(api, service):
    api.init("stt", {"a": 1, "b": 2, "c": 3})
    one = api.acquire("stt", ttl=60)[1]["leaseId"]
    two = api.acquire("stt", ttl=100)[1]["leaseId"]
    three = api.acquire("stt")[1]["leaseId"]
    service.advance(50)
    code, body = api.heartbeat(one, two, three, one)
    now = service.now_ms
    assert code == 200
    assert body == {"renewed": {one: now + 60_000, two: now + 100_000, three: None}, "lost": []}
    service.advance(59)
    assert api.entry("stt", "a")["status"] == "in_use"


def test_a_heartbeat_names_what_is_lost_and_revives_nothing(api, service):
    api.init("stt", {"a": 1, "b": 2})
    expired = api.acquire("stt", ttl=60)[1]["leaseId"]
    released = api.acquire("stt", ttl=60)[1]["leaseId"]
    api.release("stt", appid="b")
    service.advance(60)
    code, body = api.heartbeat(expired, released, "unknown")
    assert code == 200
    assert body["renewed"] == {}
    assert sorted(body["lost"]) == sorted([expired, released, "unknown"])
    assert api.entry("stt", "a")["status"] == "used_in_current_hour"


def test_after_a_restart_every_lease_has_one_whole_ttl(api, service):
    api.init("stt", {"a": 1})
    lease = api.acquire("stt", ttl=60)[1]["leaseId"]
    service.advance(50)
    service.stop()
    service.advance(3600)
    service.start()
    service.advance(59)
    assert lease in api.heartbeat(lease)[1]["renewed"]


def test_a_lease_that_expired_before_a_restart_stays_ended(api, service):
    api.init("stt", {"a": 1})
    lease = api.acquire("stt", ttl=60)[1]["leaseId"]
    service.advance(61)
    service.restart()
    assert api.heartbeat(lease)[1]["lost"] == [lease]


def test_a_status_shows_who_holds_what_until_when(api):
    api.init("stt", {"a": 1})
    _, grant = api.acquire("stt", ttl=60, holder="worker 7 on billing-3")
    entry = api.entry("stt", "a")
    assert entry["holder"] == "worker 7 on billing-3"
    assert entry["expiresAt"] == grant["expiresAt"]


def test_a_status_without_details_leaves_the_list_out(api):
    api.init("stt", {"a": 1})
    code, body = api.get("/api/appid/status", productName="stt", details="false")
    assert code == 200
    assert "appids" not in body
    assert body["total"] == 1


def test_keepState_keeps_who_has_which_and_what_was_used(api):
    api.init("stt", {"held": 1, "used": 2, "gone": 3})
    api.acquire("stt")
    api.acquire("stt")
    api.release("stt", appid="used")
    code, body = api.init("stt", {"new": 4, "held": "x", "used": 2}, keepState=True)
    assert (code, body["removed_count"], body["added_count"]) == (200, 1, 1)
    assert [e["appid"] for e in api.status("stt")["appids"]] == ["new", "held", "used"]
    assert api.entry("stt", "held")["status"] == "in_use"
    assert api.entry("stt", "held")["vid"] == "x"
    assert api.entry("stt", "used")["status"] == "used_in_current_hour"
    assert api.acquire("stt")[1]["appid"] == "new"


@pytest.mark.parametrize("how", ["release", "expiry"])
def test_keepState_removes_an_appid_in_use_when_it_is_given_back(api, service, how):
    api.init("stt", {"a": 1})
    api.acquire("stt", ttl=60)
    api.init("stt", {"b": 1}, keepState=True)
    assert api.entry("stt", "a")["status"] == "in_use"
    if how == "release":
        assert api.release("stt", appid="a")[0] == 200
    else:
        service.advance(60)
    assert [entry["appid"] for entry in api.status("stt")["appids"]] == ["b"]


def test_keepState_takes_back_an_appid_that_was_to_go(api):
    api.init("stt", {"a": 1})
    api.acquire("stt")
    api.init("stt", {"b": 1}, keepState=True)
    api.init("stt", {"a": 1, "b": 1}, keepState=True)
    api.release("stt", appid="a")
    assert len(api.status("stt")["appids"]) == 2


def test_an_init_says_how_many_live_leases_it_ended(api, caplog):
    caplog.set_level("INFO", "appid_manager_client.server")
    api.init("stt", {"a": 1, "b": 2, "c": 3})
    api.init("tts", {"other": 1})
    api.acquire("tts")
    api.acquire("stt", ttl=60)
    api.acquire("stt")
    api.release("stt", appid=api.acquire("stt")[1]["appid"])
    assert api.init("stt", {"a": 1, "b": 2}, keepState=True)[1]["ended"] == 0
    caplog.clear()
    assert api.init("stt", {"a": 1})[1]["ended"] == 2
    assert api.init("stt", {"a": 1})[1]["ended"] == 0
    levels = [
        (one.levelname, one.getMessage().partition(", for 127.0.0.1:")[0]) for one in caplog.records
    ]
    assert levels == [
        ("WARNING", "init of product stt: 1 AppIDs added, 2 removed, 2 live leases ended"),
        ("INFO", "init of product stt: 1 AppIDs added, 1 removed, 0 live leases ended"),
    ]


def test_an_appid_of_another_product_is_a_conflict_and_nothing_changes(api):
    api.init("stt", {"a": 1})
    api.init("tts", {"b": 1})
    before = api.get("/api/appid/status")
    for keep in (True, False):
        code, body = api.init("tts", {"c": 1, "a": 1}, keepState=keep)
        assert (code, body["error"]) == (409, "appid_conflict")
        assert "a" in body["message"]
    assert api.get("/api/appid/status") == before


def test_the_history_tells_how_each_lease_ended_the_newest_first(api, service):
    api.init("stt", {"a": 1})
    api.acquire("stt", holder="first")
    service.advance(1)
    api.release("stt", appid="a")
    service.advance_to_next_hour()
    api.acquire("stt", ttl=1)
    service.advance_to_next_hour()
    api.acquire("stt")
    service.advance(1)
    api.init("stt", {"a": 1})
    service.advance(1)
    api.acquire("stt")
    code, body = api.get("/api/appid/history", productName="stt", appid="a")
    assert code == 200
    assert [lease["ended"] for lease in body["leases"]] == [None, "reset", "expired", "released"]
    last = body["leases"][-1]
    assert (last["holder"], last["stoptime"] - last["starttime"]) == ("first", 1000)


def test_the_history_can_be_narrowed(api, service):
    api.init("stt", {"a": 1, "b": 2})
    api.init("tts", {"c": 3})
    api.acquire("stt")
    service.advance(10)
    later = service.now_ms
    api.acquire("stt")
    service.advance(10)
    api.acquire("tts")

    def shown(**query):
        return [lease["appid"] for lease in api.get("/api/appid/history", **query)[1]["leases"]]

    assert shown() == ["c", "b", "a"]
    assert shown(productName="stt") == ["b", "a"]
    assert shown(appid="a") == ["a"]
    assert shown(since=later) == ["c", "b"]
    assert shown(limit=1) == ["c"]


def test_a_request_given_up_is_no_part_of_the_history(api, request_id):
    api.release("stt", requestId=request_id)
    assert api.get("/api/appid/history")[1]["leases"] == []


def test_health_tells_the_hour_and_the_version(api, service):
    _, body = api.get("/health")
    assert (body["hourStart"], body["hourEnd"]) == service.hour
    assert body["serverTime"] == service.now_ms
    assert body["version"]


def test_a_status_comes_in_pages_for_those_who_ask_so(api, service):
    names = [f"a{number}" for number in range(7)]
    api.init("p", {name: 1 for name in names})
    api.init("q", {"other": 1})
    api.acquire("p")
    found, after = [], {}
    while True:
        code, body = api.get("/api/appid/status", productName="p", limit=3, **after)
        assert code == 200
        counts = {name: body.get(name) for name in ("total", "available", "in_use")}
        assert counts == (
            {"total": None, "available": None, "in_use": None}
            if after
            else {"total": 7, "available": 6, "in_use": 1}
        )
        found.append([entry["appid"] for entry in body["appids"]])
        if "next" not in body:
            break
        after = {"after": body["next"]}
    assert found == [names[:3], names[3:6], names[6:]]
    whole = api.get("/api/appid/status", productName="p")[1]
    assert [entry["appid"] for entry in whole["appids"]] == names and "next" not in whole
    every = api.get("/api/appid/status", after=after["after"])[1]["appids"]
    assert [entry["appid"] for entry in every] == ["a6", "other"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", 0), ("limit", 10_001), ("limit", "x"), ("after", -1), ("after", "x")],
)
def test_a_page_that_can_t_be_is_refused_with_its_field(api, service, field, value):
    code, body = api.get("/api/appid/status", **{field: value})
    assert (code, body["error"]) == (400, "invalid_request")
    assert body["message"].startswith(f"{field}: ")
