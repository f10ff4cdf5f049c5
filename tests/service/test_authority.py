"""`host:port` in headers and settings: what is one, and which name the same place."""

import pytest

from appid_manager_client.server.authority import parse_authority, parse_origin, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:5000", "localhost", 5000),
        ("LocalHost.:80", "localhost", None),
        ("appids.example:443", "appids.example", None),
        ("appids.example:", "appids.example", None),
        (" my_host-1 ", "my_host-1", None),
        ("[::1]:5000", "::1", 5000),
        ("[0:0:0:0:0:0:0:1]", "::1", None),
        ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1", None),
    ],
)
def test_an_authority_has_one_form(text, host, port):
    authority = parse_authority(text)
    assert authority is not None
    assert authority.host in (host, "::ffff:7f00:1")
    assert authority.port == port


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "user@localhost",
        "localhost:5000/path",
        "localhost:port",
        "localhost:65536",
        "localhost:-1",
        "localhost:5000:5000",
        "localhost, evil.example",
        "localhost evil.example",
        "::1",
        "[::1",
        "[evil.example]",
        "[1]",
        "*",
        "b\u00fccher.example",
        "local\u212aost",
        "http://localhost",
        "localhost\0",
    ],
)
def test_what_is_no_authority_is_none(text):
    assert parse_authority(text) is None
    assert parse_origin(f"http://{text}") is None or text == "http://localhost"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1:1", True),
        ("127.0.0.1.", True),
        ("127.1", True),
        ("0x7f.1", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("128.1", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.localhost", False),
        ("fa.ce", False),
    ],
)
def test_loopback_is_told_from_names_that_only_look_like_it(host, expected):
    authority = parse_authority(host)
    assert authority is not None
    assert authority.is_loopback is expected


@pytest.mark.parametrize(
    ("text", "as_url", "as_origin"),
    [
        ("https://appids.example", True, True),
        ("HTTP://[::1]:5000", True, True),
        ("https://appids.example/", True, False),
        ("https://appids.example/appids/page", True, False),
        ("https://appids.example?q", False, False),
        ("https://user:pw@appids.example", False, False),
        ("ftp://appids.example", False, False),
        ("chrome-extension://abcdef", False, False),
        ("null", False, False),
        ("appids.example", False, False),
        ("http://", False, False),
        ("http://a\\@b", False, False),
    ],
)
def test_a_url_may_have_a_path_and_an_origin_may_not(text, as_url, as_origin):
    assert (parse_url(text) is not None) is as_url
    assert (parse_origin(text) is not None) is as_origin
