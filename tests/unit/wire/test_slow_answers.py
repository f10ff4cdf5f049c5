"""A read that timed out: the service is at work on the answer still, and isn't asked again."""

from __future__ import annotations

import json

import pytest

from appid_manager_client.errors import RequestTimeout
from appid_manager_client.runtime.time import SystemTime
from tests.support.machine import TurnedSystem
from tests.support.rawserver import (
    RawServer,
    Step,
    drip,
    hang,
    http_answer,
    read_request,
    send,
    unconnectable,
)

from .exchanges import COUNTS, QUICK, client_of, failure_of, json_answer

DRIPPING = [send(http_answer(200, b"", length=100_000)), drip(b" " * 100_000, interval=0.02)]


@pytest.mark.parametrize("steps", [[hang()], DRIPPING], ids=["silence", "dripping"])
@pytest.mark.parametrize("call", ["status", "init"])
def test_what_was_too_slow_is_not_asked_for_again(call: str, steps: list[Step]) -> None:
    with RawServer(read_request(), *steps) as server:
        error = failure_of(client_of(server.url, QUICK, system=SystemTime()), call)
        asked = [request.target.partition("?")[0] for request in server.requests]
    assert isinstance(error, RequestTimeout) and error.maybe_received
    assert ("raise timeout (or APPID_MANAGER_TIMEOUT)" in str(error)) is (call == "status")
    assert asked.count(f"/api/appid/{call}") == 1


def test_a_release_looks_once_at_a_status_that_is_too_slow() -> None:
    with RawServer(read_request(), hang()) as server:
        error = failure_of(client_of(server.url, QUICK), "release")
        targets = [request.target for request in server.requests]
    assert isinstance(error, RequestTimeout)
    assert targets == ["/api/appid/status?productName=p"]


def test_a_status_that_could_not_be_asked_for_is_asked_for_again() -> None:
    with unconnectable() as url:
        system = TurnedSystem()
        error = failure_of(client_of(url, QUICK, system=system), "status")
    assert isinstance(error, RequestTimeout) and not error.maybe_received
    assert len(system.pauses) == 3 and "raise timeout" not in str(error)


def test_a_slow_release_is_sent_again() -> None:
    released = json_answer({"success": True, "stoptime": 1_700_000_000_000})
    status = json_answer({**COUNTS, "appids": []})
    scripts = [[read_request(), status], [read_request(), hang()], [read_request(), released]]
    with RawServer(scripts=scripts) as server, client_of(server.url, QUICK) as client:
        assert client.release_appid("a", "p") is True


def test_an_init_of_many_appids_waits_longer_for_its_answer() -> None:
    """The timeout, and a second more for every 10,000 of them."""
    done = {"success": True, "removed_count": 0, "added_count": 9, "message": "x", "ended": 0}
    status = json_answer({**COUNTS, "appids": []})
    # Longer than an answer may otherwise take: twice the timeout.
    slow = [read_request(), drip(http_answer(200, json.dumps(done).encode()), interval=0.008)]
    with RawServer(scripts=[[read_request(), status], slow]) as server:
        with client_of(server.url, QUICK) as client:
            assert client.init_product("p", {f"a{n}": n for n in range(100_000)}) is True
