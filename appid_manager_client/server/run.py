"""Running the service: the socket, the event loop, and a stop that lets what is under way finish."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from ..errors import ConfigurationError
from .clock import SystemClock
from .hours import make_hours
from .http.app import make_app
from .http.h11_protocol import SlowProtocol
from .settings import ServiceSettings
from .store.store import Store

logger = logging.getLogger("appid_manager_client.server")

# How long a stop waits for requests that are under way, in seconds.
_GRACE = 10
# How long an idle connection stays open, in seconds: longer than clients pause between two heartbeats, since one that
# sends just when its connection is closed can't know whether it was heard.
_KEEP_ALIVE = 75


def serve(settings: ServiceSettings, on_ready: Callable[[str], None] | None = None) -> None:
    """Run the service until SIGTERM or SIGINT, then answer what is under way and return.

    Args:
        settings: how to run it.
        on_ready: called with the service's URL once it accepts connections.

    Raises:
        ConfigurationError: the address is taken or not ours, or the database can't be opened.
    """
    listener = listen(settings.host, settings.port)
    with contextlib.closing(listener):
        server = make_server(settings, url_of(listener), on_ready)
        server.run(sockets=[listener])
        if not server.started:
            raise ConfigurationError("the service could not start; its log says why")


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address; nobody else can take it from here on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"host: {host!r} is no usable address: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port: {port} on {host} is in use; stop what listens there, or choose another port"
            ) from None
        raise ConfigurationError(f"can't listen on {host}:{port}: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of the service that listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(
    settings: ServiceSettings, url: str, on_ready: Callable[[str], None] | None = None
) -> Server:
    """A server that is ready to run, with its database open."""
    clock: Any = settings.clock or SystemClock()
    store = Store(
        settings.database,
        make_hours(settings.timezone, settings.hour_seconds),
        clock,
        leapt=clock.leapt if isinstance(clock, SystemClock) else lambda: False,
        history_days=settings.history_days,
    )
    config = uvicorn.Config(
        make_app(store, settings.auth_token),
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http=protocol_class(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # the gate gives the service's own time
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    return Server(config, url, on_ready)


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and for which a signal to stop is no failure."""

    def __init__(
        self, config: uvicorn.Config, url: str, on_ready: Callable[[str], None] | None
    ) -> None:
        super().__init__(config)
        self.url = url
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            logger.info("listening on %s", self.url)
            if self._on_ready is not None:
                self._on_ready(self.url)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again after its clean stop, and the process would end by it instead of with 0.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


def protocol_class() -> type[asyncio.Protocol]:
    """httptools where it is installed, as it is three times as fast; h11 otherwise."""
    if importlib.util.find_spec("httptools") is None:
        return SlowProtocol
    from .http.httptools_protocol import FastProtocol

    return FastProtocol
