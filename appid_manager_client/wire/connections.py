"""How the requests of one process reach the service: through a connection pool, or `requests`.

Knows `requests` and `urllib3`. What is sent and what comes back is for `transport.py`.
"""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from ..errors import ProtocolError
from .deadlines import BoundedAdapter
from .interception import look
from .proxies import proxies_for

_CONNECTIONS_KEPT = 64

_NO_RETRIES = urllib3.Retry(False)  # of a bare False, urllib3 would make one at each call

SessionFactory = Callable[[], requests.Session]
Send = Callable[[str, str, bytes | None, dict[str, str], float], urllib3.BaseHTTPResponse]
"""Called with the method, the path with its query, the body and the headers.

The last argument is how many seconds longer than usual it may wait for the answer.
"""


_BEHIND_FUNCTIONS = ("requests.api.request", "requests.sessions.Session")
"""What `requests.get` and `requests.post` look up by name, and a session does not."""

_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that say nothing of a body that was read and unpacked."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of one process (`pid`) to one service.

    Attributes:
        pid: the process.
        session: what is closed in the end.
        send: sends one request.
        unchanged: returns whether `send` is still the way to take (see `interception.py`).
    """

    pid: int
    session: requests.Session
    send: Send
    unchanged: Callable[[], bool]

    def are_current(self) -> bool:
        """Whether they are this process's own, and `requests` still is what it was."""
        return self.pid == os.getpid() and self.unchanged()


def open_connections(
    base_url: str, timeout: float, session_factory: SessionFactory | None
) -> Connections:
    """Set up what this process sends through. Connections open with the first requests.

    The short way leads straight to the pool that `requests` sets up. The whole way, through
    `requests`, is for proxies, for sessions that the user made, and for as long as something has
    taken the place of a part of `requests`.
    """
    if session_factory is not None:
        session = session_factory()
        send = _through_requests(session, frozenset(), base_url, timeout)
        return Connections(os.getpid(), session, send, lambda: True)
    parts = look()
    session = requests.Session()
    session.headers.clear()
    if "requests.sessions.HTTPAdapter" not in parts.replaced:
        adapter = BoundedAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS_KEPT, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        proxies = proxies_for(base_url, session)
        if not parts.replaced and requests.utils.select_proxy(base_url, proxies) is None:
            send = _through_pool(session, adapter, base_url, timeout)
            return Connections(os.getpid(), session, send, parts.unchanged)
    send = _through_requests(session, parts.replaced, base_url, timeout)
    return Connections(os.getpid(), session, send, parts.unchanged)


def _through_pool(
    session: requests.Session, adapter: BoundedAdapter, base_url: str, timeout: float
) -> Send:
    """Straight to the pool that `requests` set up: the same pool, with a third less work a call.

    What `requests` would look up in the environment at every call (proxies, certificates) was
    looked up once.
    """
    found = session.merge_environment_settings(base_url, {}, True, None, None)
    sample = requests.PreparedRequest()
    sample.method, sample.url = "GET", base_url
    pool: urllib3.HTTPConnectionPool = adapter.get_connection_with_tls_context(
        sample, found["verify"], cert=found["cert"], proxies={}
    )
    prefix = urlsplit(base_url).path
    bounds = urllib3.Timeout(connect=timeout, read=timeout)

    def send(
        method: str, target: str, body: bytes | None, headers: dict[str, str], longer: float
    ) -> urllib3.BaseHTTPResponse:
        return pool.urlopen(
            method,
            prefix + target,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=timeout, read=timeout + longer) if longer else bounds,
            retries=_NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )

    return send


def _through_requests(
    session: requests.Session, replaced: frozenset[str], base_url: str, timeout: float
) -> Send:
    """The whole way: `session.get` and `session.post`, or the functions of the same names.

    The functions are called where a mock has replaced them. The proxies of the environment are
    looked up here, once.
    """
    proxies = proxies_for(base_url, session)
    # As in _HOOKS.
    session.get_redirect_target = lambda response: None  # type: ignore[assignment,method-assign]

    def function(method: str) -> Any:
        name = method.lower()
        if not replaced.isdisjoint({f"requests.{name}", *_BEHIND_FUNCTIONS}):
            return functools.partial(getattr(requests, name), hooks=_HOOKS)
        if "requests.request" in replaced:
            return functools.partial(requests.request, method, hooks=_HOOKS)
        return getattr(session, name)

    def send(
        method: str, target: str, body: bytes | None, headers: dict[str, str], longer: float
    ) -> urllib3.BaseHTTPResponse:
        answer = function(method)(
            base_url + target,
            data=body,
            headers=headers,
            timeout=(timeout, timeout + longer),
            allow_redirects=False,
            stream=True,
            proxies=proxies,
            # Without any, requests looks for a user and a password in ~/.netrc.
            auth=session.auth or _add_nothing,
        )
        return _readable(answer, base_url)

    return send


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _forget_location(response: requests.Response, **options: Any) -> None:
    response.headers.pop("Location", None)  # the raw response has it still


_HOOKS = {"response": _forget_location}
"""`requests` reads the whole body of a redirect, without a limit, even if it must not follow it."""


def _readable(answer: requests.Response, service: str) -> urllib3.BaseHTTPResponse:
    """The raw response. Of a mock, or of one that a hook has read, a copy of what it says."""
    raw = answer.raw
    if isinstance(raw, urllib3.HTTPResponse) and raw.tell() == 0:
        return raw
    status, content, headers = answer.status_code, answer.content, answer.headers
    if not isinstance(content, bytes):
        content = _encoded(answer)
    if not isinstance(status, int) or content is None:
        raise ProtocolError(
            f"what takes the place of requests answers for {service} with a "
            f"{type(answer).__name__} that has no status_code, or neither content nor json()",
            service=service,
        )
    shown = dict(headers) if isinstance(headers, Mapping) else {}
    said = {name: text for name, text in shown.items() if name.lower() not in _OF_THE_TRANSFER}
    return urllib3.HTTPResponse(
        io.BytesIO(content), headers=said, status=status, preload_content=False
    )


def _encoded(answer: requests.Response) -> bytes | None:
    try:
        return json.dumps(answer.json()).encode()
    except (TypeError, ValueError):
        return None
