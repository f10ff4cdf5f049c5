"""Answers that are JSON, and not of the contract: each is a `ProtocolError` that names the field and what it held."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appid_manager_client import AppIdClient, ProtocolError
from appid_manager_client.config import Settings
from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.transport import Transport
from tests.support.calls import CALLS
from tests.support.machine import TurnedSystem
from tests.support.rawserver import RawServer, http_answer, read_request, send

GRANT = {"appid": "a", "vid": 1, "productName": "p", "starttime": 1_700_000_000_000}
WAIT = {"error": "waiting", "retry_after": 60, "message": ""}
COUNTS = {"total": 0, "available": 0, "in_use": 0, "released": 0, "appids": []}
NEVER = 253_402_300_800_000  # the year 10000

ANSWERS = [
    *(
        ("acquire", 200, GRANT, *wrong)
        for wrong in [
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
        ]
    ),
    *(
        ("acquire", 202, WAIT, *wrong)
        for wrong in [
            ("error", None),
            ("retry_after", "soon"),
            ("retry_after", True),
            ("retry_after", float("nan")),
            ("retry_after", 1e300),
            ("availableAt", "soon"),
            ("serverTime", []),
        ]
    ),
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
    body = json.dumps({**right, field: wrong}).encode()
    with RawServer(read_request(), send(http_answer(status, body))) as server:
        client = AppIdClient(server.url, 10, system=TurnedSystem())
        with pytest.raises(ProtocolError, match=repr(field)) as caught:
            CALLS[call](client)
        client.close(0)
        asked = [request.target.partition("?")[0] for request in server.requests]
    assert caught.value.status == status
    # What an unreadable answer may have granted is given up, once.
    assert asked in ([asked[0]], [asked[0], "/api/appid/release"])


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
    system = TurnedSystem()
    with RawServer(read_request(), send(http_answer(200, json.dumps(body).encode()))) as server:
        transport = Transport(Settings.resolve(server.url, environ={}), system)
        api = ServiceApi(transport, ServerClock(system))
        with pytest.raises(ProtocolError, match=repr(field)):
            api.heartbeat(["x"])
        transport.close()
