"""`LocalService`: the service in a thread, with a clock that can be turned, for your own tests.

It is the real service over real HTTP, on a free port of 127.0.0.1, with an SQLite file of its own.
Needs the extra `server`: `pip install "appid-manager-client[server]"`.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, unusable
from .secret import Token
from .server import ServiceSettings, require_extra
from .server.hours import Hour, make_hours

if TYPE_CHECKING:
    from .server.run import Server

__all__ = ["LocalService", "TurnedClock"]

# In seconds. Both take a fraction of a second on a machine that isn't busy.
_START_WITHIN = 30.0
_STOP_WITHIN = 30.0


class TurnedClock:
    """A clock that runs like any other, and can be turned.

    Calling it returns milliseconds since the Unix epoch. It runs on monotonic time, so only its own
    methods make it jump. Safe for use by many threads.
    """

    def __init__(self, start_ms: int) -> None:
        self._lock = threading.Lock()  # guards both fields below
        self._offset = start_ms - _monotonic_ms()
        self._frozen: int | None = None

    def __call__(self) -> int:
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> None:
        """Turn the clock forward by `seconds`, or back if that is negative."""
        with self._lock:
            self._set(self._now() + round(seconds * 1000))

    def set_time(self, moment_ms: int) -> None:
        """Set the clock to `moment_ms`, milliseconds since the Unix epoch."""
        with self._lock:
            self._set(moment_ms)

    def freeze(self) -> None:
        """Stop the clock: from now on only `advance` and `set_time` move it."""
        with self._lock:
            self._frozen = self._now()

    def unfreeze(self) -> None:
        """Let the clock run on from where it stands."""
        with self._lock:
            if self._frozen is not None:
                frozen, self._frozen = self._frozen, None
                self._set(frozen)

    def _now(self) -> int:
        return _monotonic_ms() + self._offset if self._frozen is None else self._frozen

    def _set(self, moment_ms: int) -> None:
        if self._frozen is not None:
            self._frozen = moment_ms
        self._offset = moment_ms - _monotonic_ms()


class LocalService:
    """The AppID service in a thread, as a context manager.

    Example:
        >>> with LocalService() as service:
        ...     client = AppIdClient(service.url)
        ...     client.init_product("stt_billing", {"appid1": "vid1"})
        ...     service.advance_to_next_hour()

    Its clock runs, but starts well inside an hour whatever time it is here: ten minutes (a sixth of
    the hour) after the hour began. So no test is at the end of an hour by chance.

    Args:
        auth_token: the token that callers must send; `None` admits everybody.
        hour_seconds: the length of an hour in whole seconds; `None` means real hours.
        timezone: the IANA zone in which hours begin and end; no effect with `hour_seconds`.
        database: the path of an SQLite file to use and keep, or the URL of a database such as
            `postgresql://user:password@host/name`; by default a temporary file, which is deleted
            at the end.
        port: the port to listen on; 0 takes a free one.
        tokens_file: the path of a file with more tokens, as `appid-manager serve --tokens` reads
            it.
        change_hours: have a file that was kept use these hours from now on, if it used others.

    Raises:
        ConfigurationError: a setting can't be used, or the extra `server` isn't installed.

    Attributes:
        url: the base URL, the same after a restart.
        auth_token: as given.
        clock: the `TurnedClock` that the service reads.
    """

    def __init__(
        self,
        auth_token: str | None = None,
        hour_seconds: int | None = None,
        *,
        timezone: str = "UTC",
        database: str | Path | None = None,
        port: int = 0,
        tokens_file: str | Path | None = None,
        change_hours: bool = False,
    ) -> None:
        if isinstance(database, str) and "://" in database:
            database = Token(database)  # first of all: it may hold a password
        require_extra()
        # Check the settings before a directory is created and a port taken.
        checked = ServiceSettings(
            port=port, auth_token=auth_token, timezone=timezone, hour_seconds=hour_seconds
        )
        self.auth_token = auth_token
        self._hours = make_hours(timezone, hour_seconds)
        self.clock = TurnedClock(_well_inside(self._hours.at(_wall_ms())))
        self._directory = (
            tempfile.TemporaryDirectory(prefix="appid-service-") if database is None else None
        )
        path = Path(self._directory.name, "appids.db") if self._directory else database
        # This socket never listens. It keeps the port while the service is stopped, so that
        # callers are refused then.
        self._reservation = _reserve(checked.port)
        self._settings = ServiceSettings(
            port=self._reservation.getsockname()[1],
            database=_database_url(path),
            auth_token=auth_token,
            tokens_file=None if tokens_file is None else str(tokens_file),
            timezone=timezone,
            hour_seconds=hour_seconds,
            change_hours=change_hours,
        )
        self.url = f"http://127.0.0.1:{self._settings.port}"
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<LocalService {self.url} {state}>"

    def __enter__(self) -> LocalService:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the service accepts calls."""
        return self._thread is not None

    @property
    def now_ms(self) -> int:
        """The service's time, in milliseconds since the Unix epoch."""
        return self.clock()

    @property
    def hour(self) -> Hour:
        """The service's hour: `start` and `end` in milliseconds since the Unix epoch."""
        return self._hours.at(self.clock())

    def start(self) -> None:
        """Start the service and return when it accepts calls. Does nothing if it is running.

        After a `stop` it comes back at the same URL with the same state: a restart.
        """
        if self._thread is not None:
            return
        if self._reservation.fileno() < 0:
            raise ConfigurationError("this LocalService was closed; make a new one")
        from .server.run import listen, make_server

        ready = threading.Event()
        listener = listen(self._settings.host, self._settings.port)
        try:
            server = make_server(
                self._settings, self.url, lambda _url: ready.set(), clock=self.clock
            )
        except BaseException:
            listener.close()
            raise

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                listener.close()
                ready.set()

        thread = threading.Thread(target=run, name="appid-local-service", daemon=True)
        thread.start()
        if not ready.wait(_START_WITHIN) or not server.started:
            server.should_exit = True
            raise ConfigurationError("the service did not start; the log says why")
        self._server, self._thread = server, thread

    def stop(self) -> None:
        """Stop the service: calls under way are answered, new ones refused.

        Its state stays on disk for a `start`.
        """
        if self._thread is None or self._server is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOP_WITHIN)
        if self._thread.is_alive():
            raise RuntimeError(f"the service at {self.url} did not stop within {_STOP_WITHIN:g} s")
        self._server = self._thread = None

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good: the port is freed and a temporary database deleted."""
        with contextlib.ExitStack() as stack:
            if self._directory is not None:
                stack.callback(self._directory.cleanup)
            stack.callback(self._reservation.close)
            stack.callback(self.stop)

    def advance(self, seconds: float) -> None:
        """Turn the service's clock forward by `seconds`.

        Leases whose `ttl` runs out meanwhile end, each at its expiry.
        """
        self.clock.advance(seconds)

    def advance_to_next_hour(self, offset: float = 0.0) -> None:
        """Turn the clock to the end of this hour plus `offset` seconds, which may be negative."""
        self.clock.set_time(self.hour.end + round(offset * 1000))

    def set_time(self, moment_ms: int) -> None:
        """Set the clock to `moment_ms`, milliseconds since the Unix epoch."""
        self.clock.set_time(moment_ms)

    def status(self, product_name: str | None = None) -> dict[str, Any]:
        """The body of `GET /api/appid/status`; the service's token is sent for you."""
        query = {} if product_name is None else {"productName": product_name}
        return self._get("/api/appid/status", query)

    def line(self, product_name: str) -> list[dict[str, Any]]:
        """Who waits in line for an AppID, in the order of the line.

        Each has `place`, `holder`, `since`, `heard`, `forced` and `due`, as in
        `GET /api/appid/line`.
        """
        query = {"productName": product_name, "limit": "10000"}
        waiters: list[dict[str, Any]] = self._get("/api/appid/line", query)["line"]
        return waiters

    def history(
        self,
        product_name: str | None = None,
        appid: str | None = None,
        *,
        limit: int = 10_000,
    ) -> list[dict[str, Any]]:
        """Who had which AppID when, the newest first.

        Each lease has `leaseId`, `appid`, `starttime`, `stoptime`, `ended` and more, as in
        `GET /api/appid/history`.
        """
        query = {"limit": str(limit)}
        if product_name is not None:
            query["productName"] = product_name
        if appid is not None:
            query["appid"] = appid
        leases: list[dict[str, Any]] = self._get("/api/appid/history", query)["leases"]
        return leases

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        import http.client
        import json
        from urllib.parse import urlencode

        headers = {} if self.auth_token is None else {"X-API-Key": self.auth_token}
        connection = http.client.HTTPConnection("127.0.0.1", self._settings.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
            answer = connection.getresponse()
            body: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {body.get('message')}")
        return body


def _database_url(database: str | Path | None) -> str:
    if isinstance(database, Token):
        return database
    return f"sqlite:///{Path(str(database)).absolute()}"


def _reserve(port: int) -> socket.socket:
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", port))
    except OSError as error:
        reservation.close()
        raise unusable("port", f"{port} can't be used: {error.strerror}") from None
    return reservation


def _well_inside(hour: Hour) -> int:
    return hour.start + (hour.end - hour.start) // 6


def _wall_ms() -> int:
    return int(time.time() * 1000)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
