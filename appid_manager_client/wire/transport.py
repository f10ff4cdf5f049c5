"""One HTTP exchange: headers, timeouts, the limit on an answer, and every failure as a typed error.

Knows HTTP and JSON. The calls of the wire contract are in `api.py`; when to try again is for
`retry.py` and `lease/waiting.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import requests
import urllib3

from .._version import __version__
from ..config import Settings
from ..errors import AppIdManagerError, ProtocolError, RequestTimeout
from ..runtime.forks import WithLock
from ..runtime.time import SystemTime
from . import failures
from .answers import Answer
from .connections import Connections, SessionFactory, open_connections
from .responses import ResponseReader

MAX_ANSWER = 64 * 1024 * 1024
"""The largest answer that is read, in bytes: some 200,000 AppIDs in one status."""

_CHUNK = 64 * 1024

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one a call


class Transport(WithLock):
    """Sends requests to one service. Safe for many threads; a forked child opens connections anew.

    Attributes:
        base_url, timeout: those of the settings.
        system: the clock.
        hide: returns a text without the token.
    """

    def __init__(
        self,
        settings: Settings,
        system: SystemTime,
        session_factory: SessionFactory | None = None,
    ) -> None:
        super().__init__()
        self.base_url = settings.base_url
        self.timeout = settings.timeout
        self.system = system
        self._session_factory = session_factory
        self._token = settings.auth_token
        self._reader = ResponseReader(settings.base_url, settings.auth_token)
        self.hide = self._reader.hide
        self._headers = {
            "Accept": "application/json",
            "User-Agent": f"appid-manager-client/{__version__}",
        }
        # Replaced as a whole, under _lock. In a forked child, their pid says whose they are.
        self._connections: Connections | None = None

    def close(self) -> None:
        """Close this process's connections. A later call would open new ones."""
        with self._lock:
            connections, self._connections = self._connections, None
        if connections is not None and connections.pid == os.getpid():
            connections.session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        authenticated: bool = True,
        longer: float = 0.0,
    ) -> Answer:
        """Send one request and read its answer.

        To connect, to wait for the answer, and to read it may each take `timeout` seconds; the wait
        for the answer may take so many seconds `longer`.

        Raises:
            RequestTimeout, ServiceUnavailable: no usable answer; see `maybe_received` and
                `retryable`.
            AuthenticationError: 401 or 403.
            ProtocolError: a redirect, or something else than a JSON object.
        """
        headers = self._headers.copy()
        if authenticated and self._token is not None:
            headers["X-API-Key"] = self._token
        data = None
        if body is not None:
            data = _encode(body).encode()
            headers["Content-Type"] = "application/json"
        target = f"{path}?{urlencode(query)}" if query else path
        handled = sys.exception()
        failure: AppIdManagerError
        # Whatever is raised below loses its frames: they hold the request and the answer, and
        # with them perhaps the token.
        try:
            return self._exchange(method, path, target, data, headers, longer)
        except AppIdManagerError as error:  # first, as some of them are OSErrors
            failure = error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = failures.translate(
                error,
                service=self.base_url,
                call=f"{method} {path}",
                timeout=self.timeout + longer,
                handled=handled,
            )
        except BaseException as interrupt:
            interrupt.__context__ = None if interrupt is handled else handled
            raise interrupt.with_traceback(None)
        raise failure.with_traceback(None)

    def _exchange(
        self,
        method: str,
        path: str,
        target: str,
        data: bytes | None,
        headers: dict[str, str],
        longer: float,
    ) -> Answer:
        sent = self.system.monotonic()
        response = self._open_connections().send(method, target, data, headers, longer)
        try:
            content = self._read(response)
        except BaseException:
            response.close()
            raise
        received = self.system.monotonic()
        body = self._reader.json_object(f"{method} {path}", response, content)
        return Answer(response.status, body, sent, received)

    def _open_connections(self) -> Connections:
        """The connections of this process, opened anew where `requests` is no more what it was."""
        connections = self._connections
        if connections is not None and connections.are_current():
            return connections
        with self._lock:
            connections = self._connections
            if connections is None or not connections.are_current():
                # The old ones may be in use. They are closed when the last user drops them.
                connections = self._connections = open_connections(
                    self.base_url, self.timeout, self._session_factory
                )
            return connections

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        deadline = self.system.monotonic() + self.timeout
        content = bytearray()
        while chunk := response.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > MAX_ANSWER:
                raise ProtocolError(
                    f"{self.base_url} sent an answer without end (more than {MAX_ANSWER} bytes)",
                    service=self.base_url,
                    status=response.status,
                )
            if self.system.monotonic() > deadline:
                raise RequestTimeout(
                    f"{self.base_url} was still sending its answer after {self.timeout:g} s",
                    service=self.base_url,
                )
            if response.closed and "Content-Encoding" not in response.headers:
                break  # the whole length has come, and nothing of it waits to be unpacked
        return bytes(content)
