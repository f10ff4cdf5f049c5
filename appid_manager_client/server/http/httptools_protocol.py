"""uvicorn's protocol on httptools, and what it leaves open there: what is no HTTP, heads without end, and upgrades.

httptools takes what follows a head with `Upgrade` for another protocol, although a service that speaks none is to go on
as if that had not been offered. Clients of other languages (Java's, curl with --http2) offer HTTP/2 so by default.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .answers import no_request

# As much as h11 takes, and a piece that came at once more.
_LARGEST_HEAD = 64 * 1024


class FastProtocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head_size = 0

    def data_received(self, data: bytes) -> None:
        """Read on; every way that ends here ends with an answer in JSON."""
        self._unset_keepalive_if_required()
        began_in_head = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._should_upgrade():
                self._go_on_without_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse("this is no valid HTTP request")
        if began_in_head and self._in_head:
            self._head_size += len(data)
            if self._head_size > _LARGEST_HEAD:
                self._refuse(f"the head of the request is larger than {_LARGEST_HEAD} bytes")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Its body is next. One that offers an upgrade is read again, without the offer."""
        self._in_head = False
        self._head_size = 0
        super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        # Asked only where the parser would leave the rest to another protocol. A CONNECT needs no offer for that.
        return any(name == b"upgrade" for name, _ in self.headers)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        version = self.parser.get_http_version().encode()
        lines = [b" ".join((self.parser.get_method(), self.url, b"HTTP/" + version))]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in kept if token.lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self, why: str) -> None:
        """End the connection: with an answer, or after the one that a request before is to get."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        answer = no_request(why)
        head = [b"HTTP/1.1 400 Bad Request"] + [
            name + b": " + value for name, value in answer.headers
        ]
        self.transport.write(b"\r\n".join([*head, b"", answer.body]))
        self.transport.close()
