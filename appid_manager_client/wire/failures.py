"""Turns what requests, urllib3 or the socket raised into a typed error of this package.

The new error takes none of the original's text and does not chain to it: the original can hold the
request, and with it the token.
"""

from __future__ import annotations

import http.client
import re
import ssl

import requests
import urllib3

from ..errors import (
    AppIdManagerError,
    ConfigurationError,
    ProtocolError,
    RequestTimeout,
    ServiceUnavailable,
)

NEVER_SENT = (
    requests.exceptions.ConnectTimeout,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NewConnectionError,
    ConnectionRefusedError,
)
"""Failures after which the service certainly did not get the request.

`ProxyError` is not among them: urllib3 raises it also where a connection broke after the proxy had
got the request.
"""

_BROKEN_OFF = (
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    urllib3.exceptions.IncompleteRead,
)
_NO_HTTP = (
    http.client.HTTPException,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.DecodeError,
    urllib3.exceptions.InvalidHeader,
)

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")


def translate(
    error: BaseException,
    *,
    service: str,
    call: str,
    timeout: float,
    handled: BaseException | None = None,
) -> AppIdManagerError:
    """The typed error for a failed exchange.

    Args:
        error: what `requests`, `urllib3` or the socket raised.
        service: the base URL.
        call: the method and the path, for the message.
        timeout: the bound of the exchange, in seconds.
        handled: the exception that the caller was handling when it made the call. Python chains
            it to `error`, but it says nothing of this failure.
    """
    chain = _chain(error, handled)
    where = f"{service} ({call})"
    unsent = _before_the_request(chain, service, where)
    if unsent is not None:
        return unsent
    maybe_received = not _any(chain, *NEVER_SENT)
    if _timed_out(chain):
        missing = "answer" if maybe_received else "connection"
        return RequestTimeout(
            f"{where}: no {missing} within {timeout:g} s",
            service=service,
            maybe_received=maybe_received,
        )
    if _any(chain, *_NO_HTTP) and not _broke_off(chain):
        return ProtocolError(
            f"{where}: no valid HTTP answer came ({type(chain[-1]).__name__}); "
            "is it an AppID service?",
            service=service,
        )
    return ServiceUnavailable(
        f"{where}: {_reason(chain)}", service=service, maybe_received=maybe_received
    )


def _before_the_request(
    chain: list[BaseException], service: str, where: str
) -> AppIdManagerError | None:
    """The error for a failure before the request was sent: a URL, TLS, or a proxy's tunnel."""
    if _any(
        chain,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.LocationValueError,
    ):
        return ConfigurationError(
            f"{where}: the URL, or a proxy that the environment names, can't be used",
            service=service,
        )
    if _any(chain, ssl.SSLEOFError):
        return ServiceUnavailable(
            f"{where}: the connection was closed during the TLS handshake",
            service=service,
            maybe_received=False,
        )
    if _any(chain, requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError):
        return ServiceUnavailable(
            f"{where}: no trusted TLS connection ({_reason(chain)})",
            service=service,
            maybe_received=False,
            retryable=False,
        )
    refusal = _tunnel_refusal(chain)
    if refusal is not None:
        return ServiceUnavailable(
            f"{where}: the proxy on the way refused to connect to it ({refusal})",
            service=service,
            maybe_received=False,
            retryable=refusal == 429 or refusal >= 500,
            status=refusal,
        )
    return None


def _chain(error: BaseException, handled: BaseException | None) -> list[BaseException]:
    """An error and all its causes, outermost first, without what was being handled before it."""
    chain: list[BaseException] = []
    queue = [error]
    while queue and len(chain) < 20:
        current = queue.pop(0)
        if current is handled or any(current is seen for seen in chain):
            continue
        chain.append(current)
        causes = [
            *current.args,
            getattr(current, "reason", None),
            current.__cause__,
            current.__context__,
        ]
        queue += [other for other in causes if isinstance(other, BaseException)]
    return chain


def _any(chain: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in chain)


def _timed_out(chain: list[BaseException]) -> bool:
    kinds = (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    # In urllib3, the error for a refused connection or an unknown host is a kind of timeout.
    refused = urllib3.exceptions.NewConnectionError
    return any(isinstance(error, kinds) and not isinstance(error, refused) for error in chain)


def _broke_off(chain: list[BaseException]) -> bool:
    """Whether an answer ended before its end, be it within its first line."""
    first_lines = [str(error) for error in chain if isinstance(error, http.client.BadStatusLine)]
    return _any(chain, *_BROKEN_OFF) or any(
        "HTTP/".startswith(line[:5]) and not line.endswith("\n") for line in first_lines
    )


def _tunnel_refusal(chain: list[BaseException]) -> int | None:
    """The status with which a proxy refused a CONNECT; http.client has it in its message only."""
    for error in chain:
        found = _REFUSED_TUNNEL.match(str(error)) if isinstance(error, OSError) else None
        if found is not None:
            return int(found[1])
    return None


def _reason(chain: list[BaseException]) -> str:
    """What happened, in words that hold nothing of the request."""
    if _any(chain, urllib3.exceptions.NameResolutionError):
        return "the host name can't be resolved"
    if _any(chain, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if _broke_off(chain):
        return "the connection broke in the middle of the answer"
    if len(chain) == 1 and isinstance(chain[0], requests.RequestException):
        # What comes from the wire has a cause in urllib3 or a socket.
        return f"a mock, or a hook of requests, raised {type(chain[0]).__name__}"
    for error in reversed(chain):
        if isinstance(error, ssl.SSLError):
            return str(error.reason or "TLS failure").lower().replace("_", " ")
        if isinstance(error, OSError) and error.strerror:
            return error.strerror.lower()
    return f"no valid HTTP answer ({type(chain[-1]).__name__})"
