"""JSON answers that do not have the contract's shape: a `ProtocolError` names the field."""

from __future__ import annotations

from typing import Any

import pytest

from appid_manager_client import AppIdManagerError, ProtocolError
from appid_manager_client.wire.answers import Answer, AnswerReader
from tests.support.rawserver import RawServer, http_answer, read_request, send

from .exchanges import COUNTS, asked, client_of, failure_of, json_answer

GRANT = {"appid": "a", "vid": 1, "productName": "p", "starttime": 1_700_000_000_000}
WAIT = {"error": "waiting", "retry_after": 60, "message": ""}
NEVER = 253_402_300_800_000  # the year 10000

WRONG_GRANTS: list[tuple[str, Any]] = [
    ("appid", ""),
    ("appid", 7),
    ("appid", None),
    ("vid", None),
    ("vid", True),
    ("vid", 1.5),
    ("productName", "q"),
    ("starttime", None),
    ("starttime", "now"),
    ("starttime", True),
    ("starttime", -1),
    ("starttime", NEVER),
    ("leaseId", 7),
    ("hourEnd", 1.5),
    ("fence", 2**53),
    ("fence", "7"),
]

WRONG_WAITS: list[tuple[str, Any]] = [
    ("error", None),
    ("retry_after", "soon"),
    ("retry_after", True),
    ("retry_after", float("nan")),
    ("retry_after", 1e300),
    ("availableAt", "soon"),
    ("serverTime", []),
]

ANSWERS: list[tuple[str, int, dict[str, Any], str, Any]] = [
    *(("acquire", 200, GRANT, field, wrong) for field, wrong in WRONG_GRANTS),
    *(("acquire", 202, WAIT, field, wrong) for field, wrong in WRONG_WAITS),
    ("acquire", 201, GRANT, "error", None),
    ("init", 200, {"success": True}, "success", False),
    ("init", 200, {"success": True}, "success", "true"),
    ("status", 200, COUNTS, "total", None),
    ("status", 200, COUNTS, "in_use", "many"),
    ("status", 200, COUNTS, "appids", {}),
    ("status", 404, {"error": "x"}, "error", {"code": 1}),
]


@pytest.mark.parametrize(("call", "status", "right", "field", "wrong"), ANSWERS)
def test_a_field_of_the_wrong_shape_is_named(
    call: str, status: int, right: dict[str, Any], field: str, wrong: Any
) -> None:
    answer = json_answer({**right, field: wrong}, status)
    with RawServer(*[read_request(), answer] * 2) as server:
        error = failure_of(client_of(server.url), call)
        paths = asked(server)
    assert isinstance(error, ProtocolError) and error.status == status
    assert repr(field) in str(error)
    # What an unreadable answer may have granted is given up, once.
    assert paths in ([paths[0]], [paths[0], "/api/appid/release"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lost": []}, "renewed"),
        ({"renewed": [], "lost": []}, "renewed"),
        ({"renewed": {}}, "lost"),
        ({"renewed": {}, "lost": "none"}, "lost"),
    ],
)
def test_an_answer_to_a_heartbeat_is_checked_too(body: dict[str, Any], field: str) -> None:
    reader = AnswerReader("http://service", str)
    with pytest.raises(ProtocolError, match=repr(field)):
        reader.read_heartbeat(Answer(200, body, 1.0, 2.0))


def test_what_a_wrong_field_held_is_shown_without_the_token_and_cut() -> None:
    reader = AnswerReader("http://service", lambda text: text.replace("secret", "***"))
    with pytest.raises(ProtocolError) as caught:
        reader.read_health(Answer(200, {"status": "secret" * 100}, 1.0, 2.0))
    assert "'******" in str(caught.value) and "secret" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("shape", [list, dict])
def test_a_field_that_is_nested_deeply_is_shown_by_its_kind(shape: type) -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep] if shape is list else {"a": deep}
    reader = AnswerReader("http://127.0.0.1:9", lambda text: text)
    for status, field in ((200, "appid"), (202, "error"), (400, "message")):
        body = {"error": "waiting", "retry_after": 60, "message": "", field: deep}
        with pytest.raises(AppIdManagerError, match=f"a deeply nested {shape.__name__}"):
            reader.read_acquire(Answer(status, body, 0.0, 0.0), "p")


@pytest.mark.parametrize(
    "content", [b"[" * 60_000, b'{"total":' + b"9" * 50_000 + b"}", b'{"a":' * 30_000, b"\xff{}"]
)
def test_hostile_json_is_a_protocol_error(content: bytes) -> None:
    with RawServer(read_request(), send(http_answer(200, content))) as server:
        assert isinstance(failure_of(client_of(server.url), "status"), ProtocolError)
