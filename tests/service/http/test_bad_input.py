"""Whatever comes: 4xx with `error` and `message`, never a 500, and nothing has changed."""

from __future__ import annotations

import http.client
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appid_manager_client.testing import LocalService
from tests.service.conftest import Api

POSTS = ["acquire", "release", "init", "heartbeat"]
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.fixture(scope="module")
def standing():
    """One service for all the examples; every product that they could name is in a known state."""
    with LocalService() as running:
        running.clock.freeze()
        Api(running).init("stt", {"a": 1, "b": 2})
        yield running


def send(service, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def is_refused(service, method, path, body=b"", headers=None):
    before = service.status()
    code, answer = send(service, method, path, body, headers)
    assert 400 <= code < 500, (code, answer)
    assert isinstance(answer["error"], str) and answer["error"]
    assert isinstance(answer["message"], str) and answer["message"]
    assert service.status() == before
    return code, answer


WRONG = [
    ("acquire", b'{"productName": 3}', "productName"),
    ("acquire", b'{"productName": ["stt"]}', "productName"),
    ("acquire", b'{"productName": "stt\\u0000"}', "productName"),
    ("acquire", b'{"productName": "' + b"x" * 257 + b'"}', "productName"),
    ("acquire", b'{"productName": "stt", "forceAcquire": "yes"}', "forceAcquire"),
    ("acquire", b'{"productName": "stt", "forceAcquire": 1}', "forceAcquire"),
    ("acquire", b'{"productName": "stt", "requestId": "1"}', "requestId"),
    ("acquire", b'{"productName": "stt", "requestId": 7}', "requestId"),
    ("acquire", b'{"productName": "stt", "ttl": 0.5}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": 3601}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": "60"}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": true}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": NaN}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": 1e999}', "ttl"),
    ("acquire", b'{"productName": "stt", "ttl": 1' + b"0" * 400 + b"}", "ttl"),
    ("acquire", b'{"productName": "stt", "holder": "' + b"x" * 201 + b'"}', "holder"),
    ("acquire", b'{"productName": "stt", "holder": {}}', "holder"),
    ("acquire", b'{"productName": "\\ud800"}', "body"),
    ("acquire", b'{"productName": "stt"', "body"),
    ("acquire", b"\xff\xfe", "body"),
    ("acquire", b"[" * 100_000, "body"),
    ("acquire", b'["stt"]', "body"),
    ("acquire", b'"stt"', "body"),
    ("acquire", b"1" * 5_000, "body"),
    ("release", b'{"productName": "stt", "appid": 1}', "appid"),
    ("release", b'{"productName": "stt", "appid": "a", "leaseId": 1}', "leaseId"),
    ("release", b'{"productName": "stt", "requestId": "x"}', "requestId"),
    ("init", b'{"productName": "stt", "appids": ["a"]}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a": 1.5}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a": true}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a": null}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"": 1}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a": 9223372036854775808}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a\\u0000": 1}}', "appids"),
    ("init", b'{"productName": "stt", "appids": {"a": 1}, "keepState": "no"}', "keepState"),
    ("heartbeat", b"{}", "leaseIds"),
    ("heartbeat", b'{"leaseIds": "x"}', "leaseIds"),
    ("heartbeat", b'{"leaseIds": [1]}', "leaseIds"),
]


@pytest.mark.parametrize(("call", "body", "field"), WRONG)
def test_what_is_wrong_is_named(standing, call, body, field):
    code, answer = is_refused(standing, "POST", f"/api/appid/{call}", body)
    assert (code, answer["error"], answer["field"]) == (400, "invalid_request", field)
    assert field in answer["message"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/appid/status?details=maybe", "details"),
        ("/api/appid/status?productName=" + "x" * 300, "productName"),
        ("/api/appid/status?productName=%00", "productName"),
        ("/api/appid/history?limit=0", "limit"),
        ("/api/appid/history?limit=10001", "limit"),
        ("/api/appid/history?limit=x", "limit"),
        ("/api/appid/history?since=now", "since"),
        ("/api/appid/history?since=" + "9" * 30, "since"),
        ("/api/appid/history?since=" + "9" * 5000, "since"),
    ],
)
def test_what_is_wrong_in_a_query_is_named(standing, path, field):
    code, answer = is_refused(standing, "GET", path)
    assert (code, answer["error"], answer["field"]) == (400, "invalid_request", field)


NULLS = dict.fromkeys(["forceAcquire", "requestId", "ttl", "holder"])


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        pytest.param({"colour": "red", "appid": {"deep": [1]}}, {}, id="unknown fields"),
        pytest.param(NULLS, {}, id="null for absent"),
        pytest.param({}, {"Content-Type": "text/html; charset=utf-16"}, id="another content type"),
    ],
)
def test_what_doesn_t_matter_is_no_fault(standing, more, headers):
    body = json.dumps({"productName": "none", **more}).encode()
    code, answer = send(standing, "POST", "/api/appid/acquire", body, headers)
    assert (code, answer["error"]) == (404, "product_not_found")


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/appid", "/api/appid/acquire/", "/%00", "/../etc"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_not_found(standing, path, method):
    code, answer = is_refused(standing, method, path)
    assert (code, answer["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/appid/acquire", "POST"),
        ("PUT", "/api/appid/init", "POST"),
        ("POST", "/api/appid/status", "GET, HEAD"),
        ("DELETE", "/health", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(standing, method, path, allowed):
    connection = http.client.HTTPConnection(standing.url.removeprefix("http://"), timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert (answer.status, body["error"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("call", ["acquire", "release", "heartbeat"])
def test_a_body_over_1_MiB_is_too_large(standing, call, chunked):
    body = b" " * (1024 * 1024 + 1)
    code, answer = is_refused(
        standing, "POST", f"/api/appid/{call}", iter([body]) if chunked else body
    )
    assert (code, answer["error"]) == (413, "request_too_large")


def test_an_init_may_have_32_MiB_and_no_more(standing):
    fits = b'{"productName": 1}' + b" " * (32 * 1024 * 1024 - 18)
    assert is_refused(standing, "POST", "/api/appid/init", fits)[0] == 400
    assert is_refused(standing, "POST", "/api/appid/init", iter([fits, b" "]))[0] == 413


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(),
    st.sampled_from(["stt", "a", "b", UUID, "\0", "\ud800", "x" * 10_000]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "productName",
    "appid",
    "appids",
    "appIds",
    "leaseId",
    "leaseIds",
    "requestId",
    "ttl",
    "holder",
    "forceAcquire",
    "keepState",
]
bodies = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), values).map(lambda value: json.dumps(value).encode()),
    st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=5).map(
        lambda pairs: (
            "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}"
        ).encode()
    ),
)


@given(call=st.sampled_from(POSTS), body=bodies)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_body_at_all_makes_the_service_fail(standing, call, body):
    code, answer = send(standing, "POST", f"/api/appid/{call}", body)
    assert code < 500
    if code >= 400:
        assert answer["error"] and answer["message"]


@given(
    path=st.sampled_from(["status", "history"]),
    query=st.one_of(
        st.binary(max_size=60).map(lambda raw: raw.hex("%")),
        st.text(
            st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60
        ),
        st.builds(
            "{}={}".format,
            st.sampled_from(["productName", "details", "appid", "since", "limit"]),
            st.integers() | st.sampled_from(["%00", "%ff", "%ed%a0%80", "1e5", "-1", "+", "nan"]),
        ),
    ),
)
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_query_at_all_makes_the_service_fail(standing, path, query):
    code, answer = send(standing, "GET", f"/api/appid/{path}?{query}")
    assert code < 500
    if code >= 400:
        assert answer["error"] and answer["message"]
