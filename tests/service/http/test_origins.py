"""Which requests a page of another site may have sent, and what becomes of them."""

from __future__ import annotations

import json
import logging

import pytest
import requests

from appid_manager_client.server import ServiceSettings
from appid_manager_client.server.http.origins import Origins
from appid_manager_client.testing import LocalService


def headers(**values: str | list[str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.replace("_", "-").encode(), one.encode("latin-1"))
        for name, value in values.items()
        for one in ([value] if isinstance(value, str) else value)
    ]


OPEN = Origins([], [], guards_host=False)
LOCAL = Origins([], [], guards_host=True)
PUBLIC = Origins(
    ["https://appids.example", "http://[fd00::1]:8080/appids"],
    ["host.docker.internal", "box:5000"],
    guards_host=True,
)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("origins", [OPEN, LOCAL, PUBLIC])
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"host": ""},
        {"host": "localhost:5000"},
        {"host": "LOCALHOST", "content_type": "text/plain"},
        {"host": "127.0.0.1:5000", "origin": "http://127.0.0.1:5000"},
        {"host": "[::1]:5000", "origin": "http://[0:0::1]:5000"},
        {"host": "localhost", "origin": "https://LOCALHOST:443"},
        {"host": "localhost.", "origin": "http://localhost"},
        {"host": "localhost", "sec_fetch_site": "same-origin", "origin": "https://evil.example"},
        {"host": "localhost", "sec_fetch_site": "none"},
    ],
)
def test_these_may_pass(method, origins, sent):
    assert origins.objection(method, headers(**sent)) is None


@pytest.mark.parametrize("origins", [OPEN, LOCAL, PUBLIC])
@pytest.mark.parametrize(
    ("sent", "header"),
    [
        ({"sec_fetch_site": "cross-site"}, "Sec-Fetch-Site"),
        ({"sec_fetch_site": "same-site", "origin": "http://localhost:5000"}, "Sec-Fetch-Site"),
        ({"sec_fetch_site": ""}, "Sec-Fetch-Site"),
        ({"sec_fetch_site": ["same-origin", "cross-site"]}, "Sec-Fetch-Site"),
        ({"origin": "https://evil.example"}, "Origin"),
        ({"origin": "null"}, "Origin"),
        ({"origin": ""}, "Origin"),
        ({"origin": "file://"}, "Origin"),
        ({"origin": "http://localhost:5001"}, "Origin"),
        ({"origin": "http://localhost"}, "Origin"),
        ({"origin": "http://127.0.0.1:5000"}, "Origin"),
        ({"origin": "http://localhost:5000/path"}, "Origin"),
        ({"origin": "http://evil@localhost:5000"}, "Origin"),
        ({"origin": "http://localhost:5000 https://evil.example"}, "Origin"),
        ({"origin": ["http://localhost:5000", "https://evil.example"]}, "Origin"),
        ({"origin": "http://localhost:5000\xff"}, "Origin"),
    ],
)
def test_a_post_of_another_page_is_refused(origins, sent, header):
    objection = origins.objection("POST", headers(host="localhost:5000", **sent))
    assert objection is not None
    assert objection.header == header
    # It reads nothing: browsers keep the answer from it.
    assert origins.objection("GET", headers(host="localhost:5000", **sent)) is None


def test_without_a_host_or_with_several_no_origin_is_its_own():
    for hosts in ([], ["localhost", "127.0.0.1"], ["localhost", "localhost"]):
        sent = headers(host=hosts, origin="http://localhost")
        assert OPEN.objection("POST", sent) is not None


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "user@localhost",
        "192.168.1.7:5000",
        ["localhost", "evil.example"],
        "localhost, evil.example",
        "host.docker.internal.evil.example",
    ],
)
def test_another_host_is_refused_where_hosts_are_guarded(method, host):
    for origins in (LOCAL, PUBLIC):
        objection = origins.objection(method, headers(host=host, sec_fetch_site="same-origin"))
        assert objection is not None
        assert objection.header == "Host"
        assert "--allowed-host" in objection.advice and "host.docker.internal" in objection.advice
    assert OPEN.objection(method, headers(host=host)) is None


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("host.docker.internal:5000", True),
        ("HOST.docker.internal", True),
        ("box:5000", True),
        ("box:5001", False),
        ("box", False),
        ("appids.example", True),
        ("appids.example:8443", True),
        ("[fd00::1]:8080", True),
    ],
)
def test_hosts_are_allowed_by_name_and_those_of_public_urls_are(host, allowed):
    assert (PUBLIC.objection("GET", headers(host=host)) is None) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://appids.example", True),
        ("http://APPIDS.example:80", True),
        ("http://[fd00:0::1]:8080", True),
        ("http://[fd00::1]", False),
        ("https://appids.example:8443", False),
        ("https://host.docker.internal", False),
        ("https://sub.appids.example", False),
    ],
)
def test_the_origin_of_a_public_url_is_the_services_own(origin, allowed):
    sent = headers(host="127.0.0.1:5000", origin=origin)
    assert (PUBLIC.objection("POST", sent) is None) is allowed


@pytest.mark.parametrize(
    ("options", "guarded"),
    [
        ({}, True),
        ({"host": "::1", "insecure": True}, True),
        ({"auth_token": "t"}, False),
        ({"auth_token": "t", "allowed_hosts": ["box"]}, False),
        ({"host": "0.0.0.0", "insecure": True}, False),
        ({"host": "0.0.0.0", "insecure": True, "public_urls": ["http://box"]}, False),
        ({"host": "0.0.0.0", "insecure": True, "allowed_hosts": ["box"]}, True),
        ({"host": "0.0.0.0", "auth_token": "t"}, False),
    ],
)
def test_hosts_are_guarded_where_no_token_does_it(options, guarded):
    assert ServiceSettings(**options).guards_host is guarded


INIT = json.dumps({"productName": "p", "appids": {"evil": "1"}})


@pytest.fixture(scope="module", params=[None, "t0ken"], ids=["no token", "token"])
def service(request):
    with LocalService(auth_token=request.param) as running:
        assert call(running, data=INIT.replace("evil", "a")).status_code == 200
        yield running


def call(service, path="/api/appid/init", method="POST", data=INIT, **sent):
    if service.auth_token is not None:
        sent["X-API-Key"] = service.auth_token
    return requests.request(method, service.url + path, data=data, headers=sent, timeout=30)


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
        {"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"},
    ],
)
def test_an_init_of_another_page_changes_nothing(service, caplog, sent):
    answer = call(service, **sent)
    assert (answer.status_code, answer.json()["error"]) == (403, "foreign_origin")
    assert [entry["appid"] for entry in service.status("p")["appids"]] == ["a"]
    (line,) = [r for r in caplog.records if getattr(r, "event", None) == "foreign_origin"]
    assert line.levelno == logging.WARNING
    assert "--public-url" in line.getMessage() and "127.0.0.1:" in line.getMessage()
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_what_curl_and_requests_send_goes_on_working(service):
    kinds = ["text/plain", "application/x-www-form-urlencoded", None]
    assert [
        call(
            service, data='{"productName": "p"}', path="/api/appid/acquire", **{"Content-Type": k}
        ).status_code
        for k in kinds
    ] == [200, 202, 202]


@pytest.mark.parametrize("path", ["/api/appid/status", "/health", "/nothing"])
def test_a_host_that_is_not_ours_reads_nothing_without_a_token(service, caplog, path):
    answer = call(service, path, "GET", None, Host="evil.example")
    if service.auth_token is not None:
        assert answer.status_code in (200, 404)
        return
    assert (answer.status_code, answer.json()["error"]) == (403, "foreign_origin")
    assert "--allowed-host" in answer.json()["message"]
    assert "--allowed-host" in caplog.text and "evil.example" in caplog.text


def test_what_such_a_request_holds_is_escaped_in_the_log(service, caplog):
    call(service, path="/x%0a%1b[2J%e2%80%ae", Origin="null")
    (line,) = [r for r in caplog.records if getattr(r, "event", None) == "foreign_origin"]
    assert r"/x\n\x1b[2J\u202e" in line.getMessage()
