"""Answers that never come, break off, have no end or are no HTTP."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client.errors import (
    AppIdManagerError,
    AuthenticationError,
    InvalidRequest,
    ProtocolError,
    RequestTimeout,
    ServiceUnavailable,
    TransportError,
)
from appid_manager_client.runtime.time import SystemTime
from tests.support.rawserver import (
    RawServer,
    Step,
    drip,
    endless,
    hang,
    http_answer,
    read_request,
    reset,
    send,
)

from .exchanges import (
    COUNTS,
    QUICK,
    WAYS,
    answering,
    asked,
    client_of,
    failure_of,
    json_answer,
    via,
)

GZIP = [("Content-Encoding", "gzip")]

HALF = send(http_answer(200, b'{"appid": "a', length=200))


def chunked(chunks: bytes) -> Step:
    head = http_answer(200, b"", length=None, headers=[("Transfer-Encoding", "chunked")])
    return send(head + chunks)


@pytest.mark.parametrize(
    ("steps", "kind", "words"),
    [
        pytest.param([hang()], RequestTimeout, "no answer within 0.3 s", id="silence"),
        pytest.param([], ServiceUnavailable, "closed without an answer", id="closed"),
        pytest.param([reset()], ServiceUnavailable, "reset", id="reset"),
        pytest.param([HALF], ServiceUnavailable, "", id="closed half way"),
        pytest.param([HALF, reset()], ServiceUnavailable, "", id="reset half way"),
        pytest.param([chunked(b'5\r\n{"app')], ServiceUnavailable, "", id="short chunk"),
        pytest.param([chunked(b"zz\r\n{}\r\n0\r\n\r\n")], ServiceUnavailable, "", id="bad chunk"),
        pytest.param([chunked(b"5\r\n{}")], ServiceUnavailable, "", id="cut chunk"),
        pytest.param(
            [send(http_answer(200, b"", length=100_000)), drip(b" " * 100_000, interval=0.02)],
            RequestTimeout,
            "still sending its answer after 0.3 s",
            id="dripping body",
        ),
        pytest.param(
            [send(b"HTTP/1.1 200 OK\r\nX: "), drip(b"x" * 60_000, interval=0.02)],
            RequestTimeout,
            "no answer within 0.3 s",
            id="dripping header",
        ),
        pytest.param(
            [send(b"HTTP/1.1 200 "), drip(b"x" * 60_000, interval=0.02)],
            RequestTimeout,
            "no answer within 0.3 s",
            id="dripping status",
        ),
        pytest.param(
            [endless(b"HTTP/1.1 100 Continue\r\n\r\n")],
            RequestTimeout,
            "no answer within 0.3 s",
            id="interim answers",
        ),
    ],
)
def test_without_a_whole_answer_in_time_the_service_may_have_acted(
    steps: list[Step], kind: type[TransportError], words: str
) -> None:
    with answering(*steps) as url:
        error = failure_of(client_of(url, QUICK, system=SystemTime()))
    assert isinstance(error, kind) and error.maybe_received
    assert words in str(error)
    assert isinstance(error, TimeoutError if kind is RequestTimeout else ConnectionError)


GRANT = {"appid": "a", "vid": 1, "productName": "p", "starttime": 1_700_000_000_000}
WHOLE = http_answer(200, json.dumps(GRANT).encode(), headers=[("Server", "busy")])
HEAD_ENDS = WHOLE.index(b"\r\n\r\n") + 4
CLOSE_DELIMITED = http_answer(200, json.dumps(GRANT).encode(), length=None)
CHUNKED = http_answer(
    200, b'5\r\n{"app\r\n', length=None, headers=[("Transfer-Encoding", "chunked")]
)

CUT = {
    "1 byte": WHOLE[:1],
    "7 bytes": WHOLE[:7],
    "11 bytes": WHOLE[:11],
    "16 bytes": WHOLE[:16],
    "status line": WHOLE[: WHOLE.index(b"\r\n") + 2],
    "name of a header": WHOLE[: WHOLE.index(b"Content-Length") + 5],
    "value of a header": WHOLE[: WHOLE.index(b"Content-Length: ") + 17],
    "last header": WHOLE[: HEAD_ENDS - 2],
    "half of the last line's end": WHOLE[: HEAD_ENDS - 1],
    "no body": WHOLE[:HEAD_ENDS],
    "half a body": WHOLE[: HEAD_ENDS + 20],
    "no body of unknown length": CLOSE_DELIMITED[: CLOSE_DELIMITED.index(b"\r\n\r\n") + 4],
    "half a body of unknown length": CLOSE_DELIMITED[:-10],
    "inside a chunk": CHUNKED[:-4],
    "size of a chunk": CHUNKED + b"1",
    "before a chunk": CHUNKED,
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "status of a redirect": b"HTTP/1.1 302 F",
    "status of a refusal": b"HTTP/1.1 401 Un",
}
"""What is left of an answer that breaks off."""


@pytest.mark.parametrize("end", [(), (reset(),)], ids=["closed", "reset"])
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
def test_an_answer_that_breaks_off_is_a_connection_error_and_asked_for_again(
    cut: bytes, end: tuple[Step, ...]
) -> None:
    whole = [read_request(), send(WHOLE)]
    with RawServer(scripts=[[read_request(), send(cut), *end], whole]) as server:
        with client_of(server.url) as client:
            assert client.acquire_appid("p", max_retries=1).appid == "a"
        sent = [r.body for r in server.requests if r.target == "/api/appid/acquire"]
    assert len(sent) == 2 and sent[0] == sent[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
def test_what_broke_off_may_have_acted_and_an_init_is_not_sent_again(
    cut: bytes, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way in ("session", "traced function") and cut[9:12] in (b"302", b"401"):
        pytest.skip("only the connections of the client know where a head was cut")
    with RawServer(read_request(), send(cut)) as server:
        url, options = via(way, server.url, monkeypatch)
        error = failure_of(client_of(url, **options), "init")
        assert asked(server) == ["/api/appid/init"]
    assert isinstance(error, ServiceUnavailable) and isinstance(error, ConnectionError)
    assert error.maybe_received and error.retryable


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([send(http_answer(200, b"", length=None)), endless()], id="plain"),
        pytest.param(
            [send(http_answer(200, gzip.compress(b" " * 20_000_000), headers=GZIP))], id="unpacked"
        ),
    ],
)
def test_an_answer_without_end_is_given_up(
    steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appid_manager_client.wire.transport.MAX_ANSWER", 1024 * 1024)
    with answering(*steps) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError)
    assert "without end" in str(error)


@pytest.mark.parametrize(
    "said",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x0a", b"HTTP/9.9 hello\r\n\r\n"],
)
def test_what_is_no_http_at_all_is_a_protocol_error_and_not_tried_again(said: bytes) -> None:
    with RawServer(read_request(), send(said)) as server:
        with client_of(server.url) as client, pytest.raises(ProtocolError):
            client.acquire_appid("p", max_retries=5)
        targets = [request.target for request in server.requests]
    assert targets.count("/api/appid/acquire") == 1 and len(targets) <= 2


def test_gzip_is_read_and_garbage_that_says_it_is_gzip_is_a_protocol_error() -> None:
    body = gzip.compress(b'{"status": "healthy", "timestamp": 1700000000000}')
    with answering(send(http_answer(200, body, headers=GZIP))) as url, client_of(url) as client:
        assert client.health_check() is True
    with answering(send(http_answer(200, b"not gzip at all", headers=GZIP))) as url:
        error = failure_of(client_of(url))
    assert isinstance(error, ProtocolError)


PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 x\r\n",
    b"HTTP/1.1 302 \r\n",
    b"HTTP/1.1 503 \r\n",
    b"Content-Encoding: deflate\r\n",
    b"Content-Length: ",
    b"Location: http://[\r\n",
    b"Retry-After: Mon, 1 Jan 2020 0:0:0 +99999999999999999999\r\n",
    b"Set-Cookie: a=b\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"5",
    b"-1",
    b"{}",
]


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(PIECES)), max_size=8))
def test_whatever_bytes_come_back_the_error_is_one_of_ours(pieces: list[bytes]) -> None:
    with answering(send(b"".join(pieces))) as url:
        error: AppIdManagerError = failure_of(client_of(url), "init")
    assert isinstance(error, (TransportError, ProtocolError, AuthenticationError, InvalidRequest))


def test_what_a_user_was_handling_says_nothing_of_a_failure_of_ours() -> None:
    with answering(hang()) as url, client_of(url, QUICK) as client:
        try:
            raise ConnectionRefusedError("the user's own database")
        except ConnectionRefusedError:
            with pytest.raises(RequestTimeout) as caught:
                client.init_product("p", {"a": 1})
    assert caught.value.maybe_received, "it is taken for a refused connection"


@pytest.mark.parametrize(
    "page",
    [
        {**COUNTS, "next": 5},
        {**COUNTS, "next": "x"},
        {"total": 1, "available": 1, "in_use": 0, "released": 0, "next": 6},
    ],
    ids=["the same page again", "no number", "no list"],
)
def test_a_status_whose_pages_have_no_end_is_refused(page: dict[str, object]) -> None:
    healthy = json_answer({"status": "healthy", "timestamp": 1, "serverTime": 1_700_000_000_000})
    first = json_answer({**COUNTS, "next": 5})
    answers = (healthy, first, json_answer(page))
    script = [step for answer in answers for step in (read_request(), answer)]
    with RawServer(scripts=[script]) as server, client_of(server.url) as client:
        assert client.health_check()
        with pytest.raises(ProtocolError, match="next|appids"):
            client.get_status("p")
