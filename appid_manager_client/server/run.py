"""Running the service: its socket, its event loop, its parser, and how it stops.

A stop answers the requests under way first. What a request means is left to `http` and `store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FrameType
from typing import cast

import uvicorn

from .._version import __version__
from ..errors import ConfigurationError, unusable
from .clock import Clock
from .hours import make_hours
from .http.app import make_app
from .http.h11_protocol import ServiceH11Protocol
from .http.limits import Connection, Limits, Watch, limits_for
from .log import BoundedEvents, log_event
from .opening import never_silently, wait_for_database
from .settings import ServiceSettings, describe_database
from .store.store import Store
from .tokens import Tokens

try:
    import resource
except ImportError:  # Windows: no such limit
    resource = None  # type: ignore[assignment]

STOP_TIMEOUT = 10
"""How many seconds a stop waits for the requests that are under way."""

# More than that costs memory before it serves anybody.
_MOST_OPEN_FILES = 65_536


def serve(settings: ServiceSettings, on_ready: Callable[[str], None] | None = None) -> None:
    """Run the service until SIGTERM or SIGINT, then answer the requests under way and return.

    Args:
        settings: how to run it.
        on_ready: called with the service's URL once it accepts connections.

    Raises:
        ConfigurationError: the address can't be listened on, or the database can't be opened.
    """
    raise_open_files()
    listener = listen(settings.host, settings.port)
    with contextlib.closing(listener):
        server = make_server(settings, url_of(listener), on_ready)
        server.run(sockets=[listener])
        if not server.started:
            raise ConfigurationError("the service could not start; its log says why")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: no other process can take the address any more.

    Raises:
        ConfigurationError: `host` is no address of this machine, or `port` is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise unusable("host", f"{host!r} is not a usable address: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            advice = "is in use; stop what listens there, or choose another port"
        else:
            advice = f"can't be listened on: {error.strerror}"
        raise unusable("port", f"{port} on {host} {advice}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of the service that listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(
    settings: ServiceSettings,
    url: str,
    on_ready: Callable[[str], None] | None = None,
    *,
    clock: Clock | None = None,
) -> Server:
    """Return a server that is ready to run, with its database open.

    Args:
        settings: how to run it.
        url: the URL that callers use.
        on_ready: called with `url` once it accepts connections.
        clock: what the service takes for the time; by default this machine's clock, or that of a
            database server.
    """
    events = BoundedEvents()
    tokens = Tokens(settings.auth_token, settings.tokens_file)
    wait_for_database(settings)
    with never_silently(settings):
        store = Store(
            settings.database,
            make_hours(settings.timezone, settings.hour_seconds),
            clock,
            history_days=settings.history_days,
            # A clock that is passed in is turned on purpose.
            monotonic=time.monotonic if clock is None else _seconds_of(clock),
            change_hours=settings.change_hours,
        )
    watch = Watch(connection_limits(), events)
    app, answer_held = make_app(
        store, settings, tokens, events, stopping=lambda: server.should_exit
    )
    config = uvicorn.Config(
        app,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http=cast(type[asyncio.Protocol], partial(protocol_class(), watch)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # each endpoint sends the service's own time
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_TIMEOUT,
        timeout_keep_alive=round(watch.limits.idle),
    )
    server = Server(config, url, settings, tokens, watch, answer_held, on_ready)
    return server


def _seconds_of(clock: Clock) -> Callable[[], float]:
    return lambda: clock() / 1000


def raise_open_files() -> None:
    """Let this process have as many files open as it may without asking: connections are files."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(OSError, ValueError):  # macOS allows less than it says
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limits() -> Limits:
    """The limits of connections to a service in this process."""
    if resource is None:
        return limits_for(_MOST_OPEN_FILES)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limits_for(_MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft)


def protocol_class() -> Callable[..., asyncio.Protocol]:
    """The protocol on httptools if it is installed (three times as fast), otherwise that on h11."""
    if importlib.util.find_spec("httptools") is None:
        return ServiceH11Protocol
    from .http.httptools_protocol import ServiceHttpToolsProtocol

    return ServiceHttpToolsProtocol


class Server(uvicorn.Server):
    """uvicorn's server; it reports when it is ready, and a signal to stop is no failure."""

    def __init__(
        self,
        config: uvicorn.Config,
        url: str,
        settings: ServiceSettings,
        tokens: Tokens,
        watch: Watch,
        answer_held: Callable[[], None],
        on_ready: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._watch = watch
        self._answer_held = answer_held
        self.url = url
        self._settings = settings
        self._tokens = tokens
        self._reload_wanted = False
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._log_start()
            if self._on_ready is not None:
                self._on_ready(self.url)

    async def on_tick(self, counter: int) -> bool:
        # uvicorn calls it ten times a second.
        now = asyncio.get_running_loop().time()
        self._watch.look(cast(Iterable[Connection], self.server_state.connections), now)
        if self._reload_wanted:
            self._reload_wanted = False
            await asyncio.to_thread(self._reload_tokens)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log_event(logging.INFO, "stopping", "the service at %(url)s stops", url=self.url)
        # uvicorn waits for all requests, and these would take their time.
        self._answer_held()
        await super().shutdown(sockets)
        log_event(logging.INFO, "stopped", "the service at %(url)s has stopped", url=self.url)

    def _log_start(self) -> None:
        settings = self._settings
        length = settings.hour_seconds
        log_event(
            logging.INFO,
            "started",
            "version %(version)s serves at %(url)s: database %(database)s, %(hours)s, %(access)s",
            version=__version__,
            url=self.url,
            database=describe_database(settings.database),
            hours=f"hours of {settings.timezone}" if length is None else f"hours of {length} s",
            access="token required" if settings.has_tokens else "no token",
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again after a clean stop: the process would die of the signal
        # instead of ending with 0.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
        }
        if self._tokens.file is not None and hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._reload_soon
        before = {number: signal.signal(number, one) for number, one in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _reload_soon(self, number: int, frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _reload_tokens(self) -> None:
        try:
            count = self._tokens.reload()
        except ConfigurationError as error:
            log_event(
                logging.ERROR,
                "tokens_refused",
                "%(problem)s; the tokens stay as they were",
                problem=error.problem,
            )
        else:
            log_event(
                logging.INFO,
                "tokens_read",
                "the tokens were read again: there are %(count)d",
                count=count,
            )

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)
