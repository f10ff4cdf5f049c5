"""A client that makes one call to a raw server: what the tests of the wire share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from appid_manager_client import AppIdClient
from appid_manager_client.errors import AppIdManagerError
from tests.support.calls import CALLS
from tests.support.machine import TurnedSystem
from tests.support.rawserver import RawServer, Step, http_answer, read_request, send
from tests.support.secrets import TOKEN, assert_hidden

QUICK = 0.3
"""A timeout in seconds, for servers that do not answer in time."""

UNKNOWN_HOST = "service.invalid:5000"
"""A host and port without an address: to be reached through a proxy only."""


def client_of(url: str, timeout: float = 10, **options: Any) -> AppIdClient:
    """A client with a token, whose pauses take no time."""
    options.setdefault("system", TurnedSystem())
    return AppIdClient(url, timeout, auth_token=TOKEN, **options)


def failure_of(client: AppIdClient, call: str = "acquire") -> AppIdManagerError:
    """What a call of `CALLS` raises. Nothing of it shows the token."""
    try:
        with pytest.raises(AppIdManagerError) as caught:
            CALLS[call](client)
    finally:
        client.close(0)
    assert_hidden(caught.value)
    return caught.value


def asked(server: RawServer) -> list[str]:
    """The paths that were asked for, without the status that is looked at before an init."""
    paths = [urlsplit(request.target).path for request in server.requests]
    before_init = len(paths) > 1 and paths[1] == "/api/appid/init"
    return paths[1:] if before_init else paths


@contextmanager
def answering(*steps: Step) -> Iterator[str]:
    """The URL of a server that reads each request and then takes `steps`."""
    with RawServer(read_request(), *steps) as server:
        yield server.url


def json_answer(body: Any, status: int = 200, **headers: str) -> Step:
    """Send an answer. An underscore in a header's name stands for a hyphen."""
    return send(
        http_answer(
            status,
            json.dumps(body).encode(),
            headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
        )
    )


HEALTHY = json_answer({"status": "healthy", "timestamp": 1_700_000_000_000})

COUNTS: dict[str, Any] = {"total": 0, "available": 0, "in_use": 0, "released": 0, "appids": []}
"""The body of a status without AppIDs."""

WAYS = ["pool", "session", "proxy", "traced", "traced function"]


def via(way: str, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """The URL and options with which a client goes that way to the server at `url`."""
    if way == "session":
        return url, {"session_factory": requests.Session}
    if way == "proxy":
        monkeypatch.setenv("HTTP_PROXY", url)
        return f"http://{UNKNOWN_HOST}", {}
    if way == "traced":
        monkeypatch.setattr(requests.Session, "send", _traced(requests.Session.send))
    if way == "traced function":
        monkeypatch.setattr(requests.api, "request", _traced(requests.api.request))
    return url, {}


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: function(*args, **options)
