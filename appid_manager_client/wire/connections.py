"""How the requests of one process reach the service: through a connection pool, or a session.

Knows `requests` and `urllib3`. What is sent and what comes back is for `transport.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from .deadlines import BoundedAdapter

_CONNECTIONS_KEPT = 64

SessionFactory = Callable[[], requests.Session]
Send = Callable[[str, str, bytes | None, dict[str, str]], urllib3.BaseHTTPResponse]
"""Called with the method, the path with its query, the body and the headers."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of one process (`pid`) to one service."""

    pid: int
    session: requests.Session
    send: Send


def open_connections(
    base_url: str, timeout: float, session_factory: SessionFactory | None
) -> Connections:
    """Set up what this process sends through. Connections open with the first requests.

    What `requests` would look up in the environment at every call (proxies, certificates) is
    looked up here, once.
    """
    if session_factory is not None:
        session = session_factory()
        return Connections(os.getpid(), session, _through_session(session, base_url, timeout))
    session = requests.Session()
    adapter = BoundedAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS_KEPT, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    found = session.merge_environment_settings(base_url, {}, True, None, None)
    if requests.utils.select_proxy(base_url, found["proxies"]) is not None:
        session.headers.clear()
        return Connections(os.getpid(), session, _through_session(session, base_url, timeout))
    return Connections(os.getpid(), session, _through_pool(adapter, found, base_url, timeout))


def _through_session(session: requests.Session, base_url: str, timeout: float) -> Send:
    """The whole way through `requests`: for proxies, and for sessions that the user made."""
    options = session.merge_environment_settings(base_url, {}, True, None, None)
    # requests reads the whole body of a redirect, without a limit, even if it must not follow it.
    session.get_redirect_target = lambda response: None  # type: ignore[assignment,method-assign]

    def send(
        method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        prepared = requests.PreparedRequest()
        prepared.method = method
        prepared.url = base_url + target
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
            prepared, timeout=(timeout, timeout), allow_redirects=False, **options
        )
        raw: urllib3.BaseHTTPResponse = answer.raw
        return raw

    return send


def _through_pool(
    adapter: BoundedAdapter, found: Mapping[str, Any], base_url: str, timeout: float
) -> Send:
    """Straight to the pool that `requests` set up: the same pool, with a third less work a call."""
    sample = requests.PreparedRequest()
    sample.method, sample.url = "GET", base_url
    pool = adapter.get_connection_with_tls_context(
        sample, found["verify"], cert=found["cert"], proxies={}
    )
    prefix = urlsplit(base_url).path
    bounds = urllib3.Timeout(connect=timeout, read=timeout)

    def send(
        method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return pool.urlopen(
            method,
            prefix + target,
            body=body,
            headers=headers,
            timeout=bounds,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )

    return send
