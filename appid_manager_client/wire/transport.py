"""One HTTP exchange: session, authentication, timeouts, size limits, and every failure as a typed error.

Knows HTTP and JSON, not the calls of the wire contract (`service.py`) nor when to try again (`waiting.py`).
"""

from __future__ import annotations

import html
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from .._version import __version__
from ..config import Settings, Token
from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    ProtocolError,
    RequestTimeout,
    ServiceUnavailable,
)
from ..runtime import forks
from ..runtime.time import SystemTime
from . import failures
from .deadlines import BoundedAdapter

MAX_ANSWER = 64 * 1024 * 1024
"""The largest answer that is read, in bytes: some 200,000 AppIDs in one status."""

_CHUNK = 64 * 1024
_CONNECTIONS_KEPT = 64

SessionFactory = Callable[[], requests.Session]
_Send = Callable[[str, str, bytes | None, dict[str, str]], urllib3.BaseHTTPResponse]


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object that the service sent with a status of 2xx or 4xx, and the monotonic moments around it."""

    status: int
    body: dict[str, Any] = field(repr=False)
    sent: float
    received: float


@dataclass(frozen=True, slots=True)
class _Line:
    """What one process sends through, set up once: `send(method, target, body, headers)`."""

    pid: int
    session: requests.Session
    send: _Send


class Transport:
    """The way to one service. Safe for many threads; a forked child opens connections of its own."""

    def __init__(
        self,
        settings: Settings,
        system: SystemTime,
        session_factory: SessionFactory | None = None,
    ) -> None:
        self.base_url = settings.base_url
        self.timeout = settings.timeout
        self.system = system
        self._session_factory = session_factory
        self._token = settings.auth_token
        self._token_forms = _forms(self._token)
        self._headers = {
            "Accept": "application/json",
            "User-Agent": f"appid-manager-client/{__version__}",
        }
        self._lock = threading.Lock()
        self._line: _Line | None = None  # replaced whole, under _lock
        forks.register(self)

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close this process's connections. A later call would open new ones."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None and line.pid == os.getpid():
            line.session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        authenticated: bool = True,
    ) -> Answer:
        """Send one request and read its answer.

        Connecting, the wait for the answer, and the reading of it may each take `timeout` seconds.

        Raises:
            RequestTimeout, ServiceUnavailable: no usable answer; see `maybe_received` and `retryable`.
            AuthenticationError: 401 or 403.
            ProtocolError: a redirect, or anything that is no JSON object.
        """
        headers = self._headers.copy()
        if authenticated and self._token is not None:
            headers["X-API-Key"] = self._token
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        target = f"{path}?{urlencode(query)}" if query else path
        handled = sys.exception()
        failure: AppIdManagerError
        # What is raised in there leaves without its frames: they hold the request and the answer, maybe with the token.
        try:
            return self._exchange(method, path, target, data, headers)
        except AppIdManagerError as error:  # first, as some of them are OSErrors
            failure = error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = failures.translate(
                error,
                service=self.base_url,
                call=f"{method} {path}",
                timeout=self.timeout,
                handled=handled,
            )
        except BaseException as interrupt:
            interrupt.__context__ = None if interrupt is handled else handled
            raise interrupt.with_traceback(None)
        raise failure.with_traceback(None)

    def hide(self, text: str) -> str:
        """`text` without the token, in whichever way a service may have written it back."""
        for form in self._token_forms:
            text = text.replace(form, "***")
        return text

    def _exchange(
        self, method: str, path: str, target: str, data: bytes | None, headers: dict[str, str]
    ) -> Answer:
        sent = self.system.monotonic()
        response = self._current_line().send(method, target, data, headers)
        try:
            content = self._read(response)
        except BaseException:
            response.close()
            raise
        received = self.system.monotonic()
        body = self._judge(f"{method} {path}", response, content)
        return Answer(response.status, body, sent, received)

    def _current_line(self) -> _Line:
        line = self._line
        if line is not None and line.pid == os.getpid():
            return line
        with self._lock:
            line = self._line
            if line is None or line.pid != os.getpid():
                line = self._line = self._open_line()
            return line

    def _open_line(self) -> _Line:
        """A session, and all that it would look up in the environment at each call, looked up once."""
        if self._session_factory is not None:
            session = self._session_factory()
            return _Line(os.getpid(), session, self._through_session(session))
        session = requests.Session()
        adapter = BoundedAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS_KEPT, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        found = session.merge_environment_settings(self.base_url, {}, True, None, None)
        if requests.utils.select_proxy(self.base_url, found["proxies"]) is not None:
            session.headers.clear()
            return _Line(os.getpid(), session, self._through_session(session))
        return _Line(os.getpid(), session, self._through_pool(adapter, found))

    def _through_session(self, session: requests.Session) -> _Send:
        """The whole way through `requests`: for proxies, and for sessions of the user's own making."""
        options = session.merge_environment_settings(self.base_url, {}, True, None, None)
        # Without a limit, requests would read the body of a redirect that it was told not to follow.
        session.get_redirect_target = lambda response: None  # type: ignore[assignment,method-assign]

        def send(
            method: str, target: str, body: bytes | None, headers: dict[str, str]
        ) -> urllib3.BaseHTTPResponse:
            prepared = requests.PreparedRequest()
            prepared.method = method
            prepared.url = self.base_url + target
            prepared.headers = CaseInsensitiveDict({})
            prepared.headers.update(cast("Mapping[str, str]", session.headers))
            prepared.headers.update(headers)
            prepared.body = body
            prepared.hooks = session.hooks
            if body is not None:
                prepared.headers["Content-Length"] = str(len(body))
            if session.auth is not None:
                prepared.prepare_auth(session.auth, prepared.url)
            prepared.prepare_cookies(session.cookies)
            answer = session.send(
                prepared,
                timeout=(self.timeout, self.timeout),
                allow_redirects=False,
                **options,
            )
            raw: urllib3.BaseHTTPResponse = answer.raw
            return raw

        return send

    def _through_pool(self, adapter: BoundedAdapter, found: Mapping[str, Any]) -> _Send:
        """Straight to the connection pool that `requests` set up: a third less work a call, and the same pool."""
        sample = requests.PreparedRequest()
        sample.method, sample.url = "GET", self.base_url
        pool = adapter.get_connection_with_tls_context(
            sample, found["verify"], cert=found["cert"], proxies={}
        )
        prefix = urlsplit(self.base_url).path
        timeout = urllib3.Timeout(connect=self.timeout, read=self.timeout)

        def send(
            method: str, target: str, body: bytes | None, headers: dict[str, str]
        ) -> urllib3.BaseHTTPResponse:
            return pool.urlopen(
                method,
                prefix + target,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )

        return send

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
        return bytes(content)

    def _judge(
        self, call: str, response: urllib3.BaseHTTPResponse, content: bytes
    ) -> dict[str, Any]:
        status = response.status
        if status >= 300:
            # Never in a success: a short token may be a part of an AppID.
            for form in self._token_forms:
                content = content.replace(form.encode(), b"***")
        body = _json_object(content)
        if status in (401, 403):
            raise AuthenticationError(
                f"{self.base_url} refused {call} ({status}{_said(body)}): check the token "
                "(auth_token or APPID_MANAGER_TOKEN)",
                service=self.base_url,
                status=status,
            )
        if status == 407:
            raise ServiceUnavailable(
                f"a proxy on the way to {self.base_url} asks for a user name and a password (407): set them in the "
                "variable that names the proxy",
                service=self.base_url,
                status=status,
                maybe_received=False,
                retryable=False,
            )
        if status == 429 or status >= 500:
            raise ServiceUnavailable(
                f"{self.base_url} can't serve {call} now ({status}{_said(body)})",
                service=self.base_url,
                status=status,
                # 501: what answers knows no such call, and did nothing.
                maybe_received=status not in (429, 501),
                retryable=status != 501,
                retry_after=_retry_after(response.headers),
            )
        if 300 <= status < 400:
            raise ProtocolError(
                f"{self.base_url} redirected {call} to {self._target(response)}; redirects are not "
                "followed, as the token would travel with them: set base_url to the service itself",
                service=self.base_url,
                status=status,
                maybe_received=False,
            )
        if body is None:
            raise ProtocolError(
                f"{self.base_url} answered {call} with {status} and {self._excerpt(response, content)} "
                "instead of a JSON object: is base_url an AppID service?",
                service=self.base_url,
                status=status,
            )
        return body

    def _target(self, response: urllib3.BaseHTTPResponse) -> str:
        return self.hide(_origin(response.headers.get("Location")))[:200]

    def _excerpt(self, response: urllib3.BaseHTTPResponse, content: bytes) -> str:
        if not content:
            return "an empty body"
        text = self.hide(" ".join(content[:4000].decode("utf-8", "replace").split()))
        kind = self.hide(response.headers.get("Content-Type", "no content type"))
        return f"{text[:80]!r} ({kind[:60]})"


def _forms(token: Token | None) -> tuple[Token, ...]:
    """The token as it may come back: plain, or escaped for JSON, HTML or a URL."""
    if token is None:
        return ()
    raw = token.encode().decode()
    forms = {raw, json.dumps(raw)[1:-1], repr(raw)[1:-1], html.escape(raw), quote(raw, safe="")}
    return tuple(Token(form) for form in sorted(forms, key=len, reverse=True))


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _said(body: dict[str, Any] | None) -> str:
    code = body.get("error") if body else None
    return f", {code[:60]!r}" if isinstance(code, str) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a `Retry-After`, which holds either seconds or a date; a date counts from the answer's own."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _origin(location: str | None) -> str:
    """Where a redirect leads, without its path and query: they may carry secrets."""
    try:
        parts = urlsplit(location or "")
    except ValueError:
        return "an invalid URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another path"
