"""What an HTTP response says: the JSON object in it, or the typed error for its status. No I/O.

Owns the statuses that mean the same for every call, and the hiding of the token. What the JSON
says is for `answers.py`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from ..config import TOKEN_VARIABLE
from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    ProtocolError,
    ServiceUnavailable,
)
from ..secret import Token
from ..text import printable


class ResponseReader:
    """Reads the responses of one service. None of its errors holds the token.

    Args:
        service: the base URL, for errors.
        token: what is hidden.
    """

    def __init__(self, service: str, token: Token | None) -> None:
        self._service = service
        self._token_forms = _forms(token)

    def hide(self, text: str) -> str:
        """Return `text` without the token, in whichever form a service may have repeated it."""
        for form in self._token_forms:
            text = text.replace(form, "***")
        return text

    def json_object(
        self, call: str, response: urllib3.BaseHTTPResponse, content: bytes
    ) -> dict[str, Any]:
        """The JSON object of a response with a status of 2xx or 4xx.

        Raises:
            AuthenticationError: 401 or 403.
            ServiceUnavailable: 407, 429 or 5xx, or an answer that broke off.
            ProtocolError: a redirect, or something else than a JSON object.
        """
        status = response.status
        if status >= 300:
            # Not in a success: a short token may be a part of an AppID.
            for form in self._token_forms:
                content = content.replace(form.encode(), b"***")
        body = _json_object(content)
        if status >= 300:
            refusal = self._refusal(call, response, body, content)
            if refusal is not None:
                raise refusal
        if body is None and _broke_off(response, content):
            raise ServiceUnavailable(
                f"{self._service} ({call}): the connection broke in the middle of the answer",
                service=self._service,
            )
        if body is None:
            raise ProtocolError(
                f"{self._service} answered {call} with {status} and "
                f"{self._excerpt(response, content)} instead of a JSON object: "
                "is it an AppID service?",
                service=self._service,
                status=status,
            )
        return body

    def _refusal(
        self,
        call: str,
        response: urllib3.BaseHTTPResponse,
        body: dict[str, Any] | None,
        content: bytes,
    ) -> AppIdManagerError | None:
        """The error for a status that means the same for every call; `None` for any other."""
        status = response.status
        if status in (401, 403):
            return self._refused(call, response, body, content)
        if status == 407:
            return ServiceUnavailable(
                f"a proxy on the way to {self._service} asks for a user name and a password "
                "(407): set them in the variable that names the proxy",
                service=self._service,
                status=status,
                maybe_received=False,
                retryable=False,
            )
        if status == 429 or status >= 500:
            return ServiceUnavailable(
                f"{self._service} can't serve {call} now ({status}{_code(body)})"
                f"{_reason(body)}",
                service=self._service,
                status=status,
                # 501: the server does not know the call, and did nothing.
                maybe_received=status not in (429, 501),
                retryable=status != 501,
                retry_after=retry_after(response.headers),
            )
        if status < 400:
            return ProtocolError(
                f"{self._service} redirected {call} to {self._target(response)}; redirects are "
                "not followed, as the token would travel with them: use the URL of the service "
                "itself",
                service=self._service,
                status=status,
                maybe_received=False,
            )
        return None

    def _refused(
        self,
        call: str,
        response: urllib3.BaseHTTPResponse,
        body: dict[str, Any] | None,
        content: bytes,
    ) -> AuthenticationError:
        """The error for a 401 or 403: by the service, or by something on the way to it."""
        status = response.status
        if body is not None and body.get("error") == "foreign_origin":
            advice = self.hide(str(body.get("message")))[:400]  # about the service, not the token
            return AuthenticationError(
                f"{self._service} refused {call} ({status}{_code(body)}): {advice}",
                service=self._service,
                status=status,
            )
        if _code(body):
            problem = f"{self._service} refused {call} ({status}{_code(body)}): check the token"
            message = f"{problem} (auth_token or {TOKEN_VARIABLE})"
            return AuthenticationError(
                message, service=self._service, status=status, problem=problem
            )
        return AuthenticationError(
            f"{call} to {self._service} was refused ({status}), but not by an AppID service: "
            f"{self._excerpt(response, content)} came. Something in between answered, such as a "
            "proxy or a gateway: check the URL, and HTTP_PROXY and NO_PROXY",
            service=self._service,
            status=status,
        )

    def _target(self, response: urllib3.BaseHTTPResponse) -> str:
        return self.hide(_origin(response.headers.get("Location")))[:200]

    def _excerpt(self, response: urllib3.BaseHTTPResponse, content: bytes) -> str:
        if not content:
            return "an empty body"
        text = self.hide(" ".join(content[:4000].decode("utf-8", "replace").split()))
        kind = self.hide(response.headers.get("Content-Type", "no content type"))
        return f"{text[:80]!r} ({kind[:60]})"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a `Retry-After`; a date in it counts from the date of the response."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


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


def _broke_off(response: urllib3.BaseHTTPResponse, content: bytes) -> bool:
    """Whether an answer that only the end of the connection ends has ended too early."""
    headers = response.headers
    if headers.get("Content-Length", "").isdecimal() or "Transfer-Encoding" in headers:
        return False  # its length was known, and urllib3 has checked it
    text = content.strip()
    return not text or (text.startswith(b"{") and not text.endswith(b"}"))


def _code(body: dict[str, Any] | None) -> str:
    code = body.get("error") if body else None
    return f", {code[:60]!r}" if isinstance(code, str) else ""


def _reason(body: dict[str, Any] | None) -> str:
    """What an extended service says of its own state, for people."""
    message = body.get("message") if body and body.get("error") == "unavailable" else None
    return f": {printable(message[:300])}" if isinstance(message, str) else ""


def _origin(location: str | None) -> str:
    """The server of a redirect, without the path and query: they may carry secrets."""
    try:
        parts = urlsplit(location or "")
    except ValueError:
        return "an invalid URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another path"
