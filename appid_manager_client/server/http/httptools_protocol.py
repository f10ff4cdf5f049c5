"""uvicorn's protocol on httptools, and what httptools leaves open there.

That is: an answer of the contract for bytes that are no HTTP request, a bound on heads, and
offers of another protocol. httptools takes what follows a head with `Upgrade` for that other
protocol, although a service that doesn't speak it must go on as if nothing had been offered.
Clients of other languages (Java's, curl with --http2) offer HTTP/2 so by default.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import answers
from .connection import WatchedConnection

# As many bytes as h11 takes, and one more piece of data that came with them.
_LARGEST_HEAD = 64 * 1024


class ServiceHttpToolsProtocol(WatchedConnection, HttpToolsProtocol):
    """One connection, parsed by httptools."""

    _in_head = False
    _head_size = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came; whatever is wrong with it is answered in JSON."""
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
        """The head ends, the body is next."""
        self._in_head = False
        self._head_size = 0
        self.show_in(self.scope)
        super().on_headers_complete()

    def has_begun_head(self) -> bool:
        """Whether a part of a request's head came."""
        return self._in_head

    def has_pipelined(self) -> bool:
        """Whether an earlier request than `cycle` is not answered yet."""
        return bool(self.pipeline)

    def _should_upgrade(self) -> bool:
        # Asked after a request whose connection the parser would leave to another protocol.
        # After a CONNECT too, which offers nothing: it isn't read again.
        return any(name == b"upgrade" for name, _ in self.headers)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its offer, and then what followed its head."""
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

    def _refuse(self, message: str) -> None:
        """End the connection: with this answer, or after that of an earlier request."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self.transport.write(answers.as_bytes(answers.invalid_http(message)))
        self.transport.close()
