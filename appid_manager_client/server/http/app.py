"""The service as an ASGI application: its paths, and what each asks of who calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from ..log import BoundedEvents
from ..settings import ServiceSettings
from ..store.store import Store
from ..tokens import Role, Tokens
from . import answers
from .admission import Admission
from .answers import Reply
from .authentication import Authenticator
from .call import Call
from .calls import Calls
from .endpoints import DateHeader, Endpoint
from .origins import Origins
from .pages.site import Site
from .work import Work

_LARGEST_INIT = 32 * 1024 * 1024  # bytes


def make_app(
    store: Store,
    settings: ServiceSettings,
    tokens: Tokens,
    events: BoundedEvents,
    *,
    stopping: Callable[[], bool],
) -> tuple[ASGIApp, Callable[[], None]]:
    """The service as an ASGI application, and what has it answer all requests that it holds.

    The application closes `store` when it shuts down.

    Args:
        store: what carries the calls out.
        settings: from where it may be called.
        tokens: who may call.
        events: where refusals are logged.
        stopping: returns whether the service is about to end, and takes no new requests.
    """
    work = Work(store, stopping)
    origins = Origins(
        settings.public_urls, settings.allowed_hosts, guards_host=settings.guards_host
    )
    admission = Admission(Authenticator(tokens), origins, events)
    calls = Calls(work, admission, events)
    endpoint = partial(
        Endpoint, admission, DateHeader(store.clock), stopping, logs_access=settings.access_log
    )
    site = Site(work, calls, admission, tokens, settings)
    app = Router(
        [
            # Paths are tried in this order: the most frequent calls first.
            Route("/api/appid/acquire", endpoint(calls.acquire)),
            Route("/api/appid/release", endpoint(calls.release)),
            Route("/api/appid/heartbeat", endpoint(calls.heartbeat)),
            Route("/health", endpoint(calls.health, "GET", role=None)),
            Route("/ready", endpoint(calls.ready, "GET", role=None)),
            Route("/live", endpoint(calls.live, "GET", role=None)),
            Route("/api/appid/status", endpoint(calls.status, "GET", role=Role.READ)),
            Route("/api/appid/history", endpoint(calls.history, "GET", role=Role.READ)),
            Route("/api/appid/products", endpoint(calls.products, "GET", role=Role.READ)),
            Route("/api/appid/line", endpoint(calls.line, "GET", role=Role.READ)),
            Route("/metrics", endpoint(calls.show_metrics, "GET", role=Role.READ)),
            Route("/openapi.json", endpoint(calls.describe, "GET", role=None)),
            Route("/api/appid/reserve", endpoint(calls.reserve, role=Role.ADMIN)),
            Route("/api/appid/pause", endpoint(calls.pause, role=Role.ADMIN)),
            Route(
                "/api/appid/init", endpoint(calls.init, role=Role.ADMIN, largest_body=_LARGEST_INIT)
            ),
            *(
                Route(path, endpoint(page, method, role=None))
                for path, (method, page) in site.pages().items()
            ),
        ],
        # A redirect would carry the token along, and lose a body.
        redirect_slashes=False,
        default=endpoint(_not_found, None, role=Role.READ),
        lifespan=work.lifespan,
    )
    return app, work.holding.answer_all


async def _not_found(_call: Call) -> Reply:
    return answers.not_found()
