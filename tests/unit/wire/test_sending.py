"""A request is handed to the system in one piece."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3.connection

from appid_manager_client.wire.sending import InOnePiece


class Socket:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.broken = False

    def sendall(self, data: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.sent.append(bytes(data))

    def settimeout(self, seconds: float | None) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """There is nothing to close."""


class Connection(InOnePiece, urllib3.connection.HTTPConnection):
    """A connection as the package makes it, to a socket that is there already."""

    def __init__(self) -> None:
        super().__init__("service.example")
        self.socket: Any = Socket()
        self.sock = self.socket

    def post(self, body: bytes) -> list[bytes]:
        self.socket.sent.clear()
        self.request("POST", "/api", body=body)
        return list(self.socket.sent)


def test_head_and_body_are_sent_together() -> None:
    (sent,) = Connection().post(b'{"productName":"p"}')
    assert sent.startswith(b"POST /api HTTP/1.1\r\n")
    assert sent.endswith(b'\r\n\r\n{"productName":"p"}')


def test_a_large_body_is_sent_as_it_is_after_its_head() -> None:
    body = bytes(1_000_000)
    head, *rest = Connection().post(body)
    assert head.endswith(b"\r\n\r\n") and rest == [body]


def test_nothing_of_a_request_that_failed_is_sent_with_the_next() -> None:
    connection = Connection()
    connection.socket.broken = True
    with pytest.raises(BrokenPipeError):
        connection.post(b"first")
    connection.close()
    connection.sock = connection.socket
    connection.socket.broken = False
    (sent,) = connection.post(b"second")
    assert sent.count(b"HTTP/1.1") == 1 and sent.endswith(b"second")
