"""The token is in no error, log line, pickle or traceback, whatever the service sends back."""

from __future__ import annotations

import logging
import socket

import pytest

from tests.support.calls import CALLS
from tests.support.rawserver import Step, hang, http_answer, refused, reset, send, unconnectable
from tests.support.secrets import TOKEN, assert_hidden

from .exchanges import COUNTS, QUICK, answering, client_of, failure_of, json_answer, via

ECHOES: dict[str, tuple[Step, ...]] = {
    "closed": (),
    "reset": (reset(),),
    "silence": (hang(),),
    "401": (json_answer({"error": TOKEN, "message": f"bad key {TOKEN}"}, 401),),
    "400": (json_answer({"error": f"no {TOKEN}", "message": f"bad key {TOKEN}"}, 400),),
    "404 page": (send(http_answer(404, f"<p>{TOKEN}</p>".encode())),),
    "500": (json_answer({"error": TOKEN, "message": TOKEN}, 500),),
    "503 page": (send(http_answer(503, TOKEN.encode())),),
    "200 page": (send(http_answer(200, f"<p>X-API-Key: {TOKEN}</p>".encode())),),
    "echo": (json_answer({"headers": {"X-Api-Key": TOKEN}, "error": TOKEN}, 200),),
    "echo in a field": (
        json_answer(
            dict.fromkeys(["appid", "vid", "starttime", "success", "total", "appids"], TOKEN)
        ),
    ),
    "echo in an entry": (json_answer({**COUNTS, "appids": [{"appid": TOKEN}]}),),
    "202": (json_answer({"error": TOKEN, "retry_after": TOKEN, "message": TOKEN}, 202),),
    "redirect": (send(http_answer(302, b"", headers=[("Location", f"http://{TOKEN}@h/{TOKEN}")])),),
    "broken off": (send(http_answer(200, f'{{"x": "{TOKEN}'.encode(), length=999)),),
    "no http": (send(f"what is {TOKEN}?\r\n".encode()),),
    "bad header": (send(b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: many\r\n\r\n"),),
}


@pytest.mark.parametrize("way", ["pool", "session"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ECHOES)
def test_the_token_is_in_no_error_and_no_log(
    kind: str,
    call: str,
    way: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    with answering(*ECHOES[kind]) as server_url:
        url, options = via(way, server_url, monkeypatch)
        try:
            failure_of(client_of(url, QUICK, **options), call)
        except pytest.fail.Exception:
            assert kind.startswith("echo"), "every other answer is a failure of every call"
    assert TOKEN not in caplog.text
    for record in caplog.records:
        assert TOKEN not in repr(vars(record))


def test_the_token_is_in_no_failure_to_connect(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with refused() as closed, unconnectable() as silent:
        for url in [closed, silent, "http://nowhere.invalid"]:
            failure_of(client_of(url, QUICK))
    assert TOKEN not in caplog.text


def test_an_interrupt_on_the_wire_does_not_carry_the_request_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "sendall", interrupted)
    with answering(hang()) as url, client_of(url) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            client.get_status("p")
        monkeypatch.undo()
    assert_hidden(caught.value)
