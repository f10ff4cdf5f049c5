"""Mocks, recorders and tracers of `requests` see every call, whenever they were put in place."""

from __future__ import annotations

import functools
import io
import json
import socket
import subprocess
import sys
import threading
import timeit
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import pytest
import requests
import requests_mock
import responses
import urllib3
import vcr
import wrapt
from vcr.serialize import deserialize

from appid_manager_client import ProtocolError, RequestTimeout, ServiceUnavailable
from appid_manager_client.wire.interception import look
from tests.support.rawserver import RawServer, read_request
from tests.support.secrets import TOKEN

from .exchanges import COUNTS, asked, client_of, json_answer

SERVED = json_answer({**COUNTS, "productName": "the service"})
MOCKED = {**COUNTS, "productName": "a mock"}
STATUS = "/api/appid/status"
INIT = "/api/appid/init"
DONE = {"success": True}

Interception = Callable[[str], AbstractContextManager[object]]
"""Called with the service's URL. Within the block, a status comes from a mock."""


# As tests make one by hand: without a raw one.
RESPONSE = requests.Response()
RESPONSE.status_code = 200
RESPONSE._content = json.dumps(MOCKED).encode()

MOCK = mock.Mock(status_code=200, json=lambda: MOCKED)


def raw_response(*args: Any, **options: Any) -> urllib3.HTTPResponse:
    body = io.BytesIO(json.dumps(MOCKED).encode())
    return urllib3.HTTPResponse(body, status=200, preload_content=False)


@contextmanager
def by_responses(url: str) -> Iterator[None]:
    with responses.RequestsMock() as mocked:
        mocked.get(url + STATUS, json=MOCKED)
        yield


@contextmanager
def by_requests_mock(url: str) -> Iterator[None]:
    with requests_mock.Mocker() as mocked:
        mocked.get(url + STATUS, json=MOCKED)
        yield


@contextmanager
def by_vcrpy(url: str) -> Iterator[None]:
    answer = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["application/json"]},
        "body": {"string": json.dumps(MOCKED)},
    }
    request: dict[str, Any] = {"method": "GET", "uri": url + STATUS, "body": None, "headers": {}}
    cassette = {"version": 1, "interactions": [{"request": request, "response": answer}]}
    recorder = vcr.VCR(serializer="json", record_mode="none")
    text = json.dumps(cassette)
    loaded = mock.Mock(load_cassette=lambda path, serializer: deserialize(text, serializer))
    recorder.register_persister(loaded)
    with recorder.use_cassette("status.json") as played:
        yield
        assert played.play_count == 1


def replaced(target: str, **options: Any) -> Interception:
    return lambda url: mock.patch(target, **options)


def own_pool(*args: Any, **options: Any) -> mock.Mock:
    return mock.Mock(urlopen=raw_response)


@contextmanager
def own_pool_manager(url: str) -> Iterator[None]:
    manager = mock.Mock(connection_from_host=own_pool)
    with mock.patch("requests.adapters.PoolManager", return_value=manager):
        yield


class SimulatedConnection(urllib3.connection.HTTPConnection):
    """Answers by itself, as the connections of recorders do."""

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        self.sock = ours
        body = json.dumps(MOCKED).encode()
        theirs.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        theirs.close()


class SimulatedAdapter(requests.adapters.BaseAdapter):
    def send(self, *args: Any, **options: Any) -> requests.Response:
        return RESPONSE

    def close(self) -> None:
        pass


class SimulatedSession(requests.Session):
    def send(self, *args: Any, **options: Any) -> requests.Response:
        return RESPONSE


SESSION = "requests.Session"
ADAPTER = "requests.adapters.HTTPAdapter"

INTERCEPTIONS: dict[str, Interception] = {
    "responses": by_responses,
    "requests-mock": by_requests_mock,
    "vcrpy": by_vcrpy,
    "Session": replaced(SESSION, new=SimulatedSession),
    "Session, a mock": replaced(SESSION, **{"return_value.get.return_value": MOCK}),
    "Session.send": replaced(f"{SESSION}.send", return_value=RESPONSE),
    "Session.send, a mock's answer": replaced(f"{SESSION}.send", return_value=MOCK),
    "Session.send, autospec": replaced(f"{SESSION}.send", autospec=True, return_value=RESPONSE),
    "Session.request": replaced(f"{SESSION}.request", return_value=RESPONSE),
    "Session.get": replaced(f"{SESSION}.get", return_value=RESPONSE),
    "Session.get_adapter": replaced(f"{SESSION}.get_adapter", return_value=SimulatedAdapter()),
    "sessions.Session": replaced("requests.sessions.Session", new=SimulatedSession),
    "sessions.HTTPAdapter": replaced("requests.sessions.HTTPAdapter", new=SimulatedAdapter),
    "requests.get": replaced("requests.get", return_value=RESPONSE),
    "requests.request": replaced("requests.request", return_value=RESPONSE),
    "requests.api.request": replaced("requests.api.request", return_value=RESPONSE),
    "HTTPAdapter.send": replaced(f"{ADAPTER}.send", return_value=RESPONSE),
    "HTTPAdapter.get_connection_with_tls_context": replaced(
        f"{ADAPTER}.get_connection_with_tls_context", new=own_pool
    ),
    "PoolManager": own_pool_manager,
    "PoolManager.connection_from_host": replaced(
        "urllib3.PoolManager.connection_from_host", new=own_pool
    ),
    "HTTPConnectionPool.urlopen": replaced("urllib3.HTTPConnectionPool.urlopen", new=raw_response),
    "HTTPConnectionPool.ConnectionCls": replaced(
        "urllib3.HTTPConnectionPool.ConnectionCls", new=SimulatedConnection
    ),
}


@pytest.mark.parametrize("intercepted", INTERCEPTIONS.values(), ids=INTERCEPTIONS)
def test_a_call_is_intercepted_for_as_long_as_the_mock_is_there(intercepted: Interception) -> None:
    with RawServer(*[read_request(), SERVED] * 4) as server, client_of(server.url) as client:
        assert client.get_status()["productName"] == "the service"
        for _ in range(2):
            with intercepted(server.url):
                assert client.get_status()["productName"] == "a mock"
            assert client.get_status()["productName"] == "the service"
        assert len(server.requests) == 3


def test_a_mocked_init_resets_nothing_and_the_mock_sees_the_whole_request() -> None:
    with RawServer(read_request(), SERVED) as server, client_of(server.url) as client:
        client.get_status()
        with responses.RequestsMock() as mocked:
            matched = responses.matchers.json_params_matcher(
                {"productName": "p", "appids": {"a": 1}}
            )
            named = responses.matchers.header_matcher({"X-API-Key": TOKEN})
            mocked.post(server.url + INIT, json=DONE, match=[matched, named])
            assert client.init_product("p", {"a": 1})
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["request", "post"])
def test_what_a_test_forbids_by_deleting_it_is_not_sent(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(*[read_request(), SERVED] * 4) as server, client_of(server.url) as client:
        client.get_status()
        monkeypatch.delattr(requests.Session, name)
        for _ in range(2):
            with pytest.raises(AttributeError):
                client.init_product("p", {"a": 1})
        assert INIT not in asked(server)


class Seen(list[str]):
    """What was called on this thread. The client of an earlier test may still be at work."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def note(self, name: str) -> None:
        if threading.get_ident() == self._thread:
            self.append(name)


def wrapped_by_functools(original: Callable[..., Any], seen: Seen) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **options: Any) -> Any:
        seen.note(original.__name__)
        return original(*args, **options)

    return wrapper


def wrapped_by_wrapt(original: Callable[..., Any], seen: Seen) -> Callable[..., Any]:
    def wrapper(wrapped: Callable[..., Any], instance: object, args: Any, options: Any) -> Any:
        seen.note(original.__name__)
        return wrapped(*args, **options)

    return wrapt.FunctionWrapper(original, wrapper)


@pytest.mark.parametrize("wrapped", [wrapped_by_functools, wrapped_by_wrapt])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (requests.Session, "get"),
        (requests.Session, "request"),
        (requests.Session, "prepare_request"),
        (requests.Session, "send"),
        (requests.adapters.HTTPAdapter, "send"),
        (requests.adapters.HTTPAdapter, "build_response"),
        (urllib3.PoolManager, "connection_from_host"),
        (urllib3.HTTPConnectionPool, "urlopen"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_what_only_looks_on_sees_every_call(
    wrapped: Callable[..., Any], owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen()
    with RawServer(*[read_request(), SERVED] * 4) as server, client_of(server.url) as client:
        client.get_status()
        with monkeypatch.context() as patches:
            patches.setattr(owner, name, wrapped(vars(owner)[name], seen))
            assert client.get_status()["productName"] == "the service"
            assert client.get_status()["productName"] == "the service"
        assert seen == [name, name]
        client.get_status()
    assert seen == [name, name]


PATCHED_FIRST = """
import functools, sys, requests
seen = []
send = requests.Session.send
@functools.wraps(send)
def traced(*args, **options):
    seen.append(args)
    return send(*args, **options)
requests.Session.send = traced
from appid_manager_client import AppIdClient
with AppIdClient(sys.argv[1]) as client:
    client.get_status()
    assert len(seen) == 1
    requests.Session.send = send
    client.get_status()
    assert len(seen) == 1
"""


def test_what_was_put_in_place_before_the_first_import_sees_every_call_too() -> None:
    with RawServer(*[read_request(), SERVED] * 2) as server:
        subprocess.run([sys.executable, "-c", PATCHED_FIRST, server.url], check=True, timeout=60)
        assert len(server.requests) == 2


def test_what_nobody_replaced_is_the_original_and_known_as_such() -> None:
    assert not look().replaced


def test_to_look_costs_less_than_a_microsecond_a_call() -> None:
    unchanged = look().unchanged
    assert unchanged()
    assert min(timeit.repeat(unchanged, number=1000, repeat=200)) < 1000 * 1e-6


def test_connections_are_opened_anew_for_another_way_to_open_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Seen()
    original = urllib3.util.connection.create_connection

    with RawServer(*[read_request(), SERVED] * 4) as server, client_of(server.url) as client:
        client.get_status()
        monkeypatch.setattr(
            urllib3.util.connection, "create_connection", wrapped_by_functools(original, seen)
        )
        client.get_status()
        client.get_status()
        assert len(seen) == 1
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (mock.MagicMock(), ProtocolError),
        (mock.Mock(status_code=200), ProtocolError),
        (mock.Mock(status_code="200", content=b"{}"), ProtocolError),
        (mock.Mock(status_code=200, content=b"no JSON"), ProtocolError),
        (mock.Mock(status_code=503, content=b"", headers={}), ServiceUnavailable),
    ],
    ids=["a bare mock", "no body", "no status", "no JSON", "503"],
)
def test_a_mock_s_answer_that_says_too_little_is_an_error(
    answer: object, error: type[Exception]
) -> None:
    client = client_of("http://service.invalid")
    with mock.patch("requests.Session.send", return_value=answer), pytest.raises(error):
        client.get_status()


def test_what_a_mock_raises_is_the_error_that_it_would_be_from_the_wire() -> None:
    client = client_of("http://service.invalid")
    with requests_mock.Mocker() as mocked:
        route = mocked.post(f"{client.base_url}{INIT}", exc=requests.exceptions.ConnectTimeout)
        with pytest.raises(RequestTimeout) as caught:
            client.init_product("p", {"a": 1})
    assert not caught.value.maybe_received and route.call_count == 4


def test_a_mock_that_expects_no_such_call_is_named_as_the_one_that_refused_it() -> None:
    client = client_of("http://service.invalid")
    with responses.RequestsMock(), pytest.raises(ServiceUnavailable, match="mock"):
        client.get_status()


# Sessions that the user made


def test_an_adapter_that_the_user_mounted_is_used() -> None:
    def factory() -> requests.Session:
        session = requests.Session()
        session.mount("http://", SimulatedAdapter())
        return session

    with client_of("http://service.invalid", session_factory=factory) as client:
        assert client.get_status()["productName"] == "a mock"


def test_what_a_session_of_the_user_overrides_is_called() -> None:
    class Signing(requests.Session):
        def request(self, *args: Any, **options: Any) -> requests.Response:
            options["headers"] = {**options["headers"], "X-Signature": "signed"}
            return super().request(*args, **options)

    with RawServer(read_request(), SERVED) as server:
        with client_of(server.url, session_factory=Signing) as client:
            client.get_status()
        assert server.requests[0].header("X-Signature") == "signed"


def test_an_answer_that_a_hook_has_read_is_read_again() -> None:
    read = []

    def factory() -> requests.Session:
        session = requests.Session()
        session.hooks["response"].append(lambda response, **options: read.append(response.text))
        return session

    with RawServer(read_request(), SERVED) as server:
        with client_of(server.url, session_factory=factory) as client:
            assert client.get_status()["productName"] == "the service"
    assert len(read) == 1


def test_a_session_of_the_user_stays_the_same_whatever_is_replaced() -> None:
    made = []

    def factory() -> requests.Session:
        made.append(requests.Session())
        return made[-1]

    with RawServer(*[read_request(), SERVED] * 2) as server:
        with client_of(server.url, session_factory=factory) as client:
            client.get_status()
            with by_responses(server.url):
                assert client.get_status()["productName"] == "a mock"
            client.get_status()
        assert len(made) == 1 and server.connections == 1
