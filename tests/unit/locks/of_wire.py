"""What the locks of `wire/` guard: the estimate of the clock, the connections, the resets."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from appid_manager_client.config import Settings
from appid_manager_client.errors import ServiceUnavailable
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.wire import api as wire_api
from appid_manager_client.wire import clock, resets, transport
from appid_manager_client.wire.answers import Answer
from tests.support.machine import TurnedSystem
from tests.support.switching import Play, Result, Scenes
from tests.support.waiting import PATIENCE

SCENES = Scenes()


def a_clock(*observed: tuple[int, float, float]) -> clock.ServerClock:
    server = clock.ServerClock(TurnedSystem())
    for answer in observed:
        server.observe(*answer)
    return server


@SCENES.scene("ServerClock", clock)
def two_answers_narrow_the_bounds(stack: ExitStack) -> Play:
    server = a_clock()

    def check(*_: Result) -> None:
        assert server.latest() - server.earliest() < 0.2

    return Play(
        lambda: server.observe(5_000_000, 998.0, 1000.0),
        lambda: server.observe(5_001_000, 999.9, 1000.0),
        check,
    )


@SCENES.scene("ServerClock", clock)
def the_first_answer_comes_while_its_age_is_asked_for(stack: ExitStack) -> Play:
    server = a_clock()

    def check(_: Result, age: Result) -> None:
        assert age.value in (float("inf"), 0.0)

    return Play(lambda: server.observe(5_000_000, 999.0, 1000.0), lambda: server.age, check)


def _bound_while_an_answer_comes(bound: str) -> None:
    def play(stack: ExitStack) -> Play:
        server = a_clock((5_000_000, 1000.0, 1000.0))
        before = getattr(server, bound)(2000.0)
        answer = (6_000_500, 2000.0, 2000.0)
        after = getattr(a_clock((5_000_000, 1000.0, 1000.0), answer), bound)(2000.0)

        def check(found: Result, _: Result) -> None:
            assert found.value in (before, after)

        return Play(lambda: getattr(server, bound)(2000.0), lambda: server.observe(*answer), check)

    play.__name__ = f"the_{bound}_time_is_asked_for_while_an_answer_comes"
    SCENES.scene("ServerClock", clock)(play)


_bound_while_an_answer_comes("earliest")
_bound_while_an_answer_comes("latest")


def other_hours(server: clock.ServerClock) -> None:
    server.observe_hour(5_000_000, 4_000_000)


@SCENES.scene("ServerClock", clock)
def the_hours_change_while_a_turn_is_asked_for(stack: ExitStack) -> Play:
    server = a_clock()
    server.observe_hour(3_600_000)

    def check(end: Result, _: Result) -> None:
        assert end.value in (3600.0, 1000.0)

    return Play(lambda: server.hour_end_after(0.0), lambda: other_hours(server), check)


@SCENES.scene("ServerClock", clock)
def a_turn_is_asked_for_while_the_hours_change(stack: ExitStack) -> Play:
    server = a_clock()
    server.observe_hour(3_600_000)

    def check(_: Result, end: Result) -> None:
        assert end.value in (3600.0, 1000.0)

    return Play(lambda: other_hours(server), lambda: server.hour_end_after(0.0), check)


class _Refused(requests.adapters.HTTPAdapter):
    def send(self, *args: Any, **options: Any) -> requests.Response:
        raise requests.ConnectionError("refused")


class _Sessions:
    """Makes the sessions of a transport that reaches nothing."""

    def __init__(self, stack: ExitStack) -> None:
        self.made: list[requests.Session] = []
        self.closed: list[requests.Session] = []
        settings = Settings.resolve("http://127.0.0.1:9", environ={})
        self.transport = transport.Transport(settings, SystemTime(), self._make)
        stack.callback(self.transport.close)

    def _make(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", _Refused())
        session.close = lambda: self.closed.append(session)  # type: ignore[method-assign]
        self.made.append(session)
        return session

    def call(self) -> None:
        with pytest.raises(ServiceUnavailable):
            self.transport.call("GET", "/health")


@SCENES.scene("Transport", transport)
def two_calls_open_the_connections(stack: ExitStack) -> Play:
    sessions = _Sessions(stack)

    def check(*_: Result) -> None:
        assert len(sessions.made) == 1

    return Play(sessions.call, sessions.call, check)


@SCENES.scene("Transport", transport)
def connections_are_closed_while_a_call_opens_them(stack: ExitStack) -> Play:
    sessions = _Sessions(stack)

    def check(*_: Result) -> None:
        sessions.transport.close()
        assert sessions.closed == sessions.made, "one was forgotten"

    return Play(sessions.transport.close, sessions.call, check)


class _Wire:
    """A transport whose inits succeed; those of the thread `held` only after `let_go`."""

    base_url = "http://simulated"
    timeout = 5.0

    def __init__(self, system: SystemTime) -> None:
        self.system = system
        self.api: wire_api.ServiceApi
        self.held: threading.Thread | None = None
        self._entered, self._let_go = threading.Event(), threading.Event()

    def call(self, *args: Any, **options: Any) -> Answer:
        if threading.current_thread() is self.held:
            self._entered.set()
            assert self._let_go.wait(PATIENCE)
        return Answer(200, {"success": True}, 1000.0, 1000.0)

    def hide(self, text: str) -> str:
        return text

    def begin_init(self) -> None:
        """Have an init under way from now on."""
        self.held = threading.Thread(target=self.api.init, args=("p", {}))
        self.held.start()
        assert self._entered.wait(PATIENCE)

    def end_init(self) -> None:
        assert self.held is not None
        self._let_go.set()
        self.held.join(PATIENCE)


def _a_wire() -> _Wire:
    wire = _Wire(TurnedSystem())
    transported: Any = wire
    wire.api = wire_api.ServiceApi(transported, clock.ServerClock(wire.system))
    return wire


@SCENES.scene("Resets", resets)
def two_inits_begin(stack: ExitStack) -> Play:
    wire = _a_wire()
    stack.callback(wire.end_init)

    def check(*_: Result) -> None:
        assert wire.api.was_reset("p", since=2000.0), "one is under way"

    return Play(lambda: wire.api.init("p", {}), wire.begin_init, check)


@SCENES.scene("Resets", resets)
def an_init_ends_while_it_is_asked_about(stack: ExitStack) -> Play:
    wire = _a_wire()
    wire.begin_init()

    def check(reset: Result, _: Result) -> None:
        assert reset.value

    return Play(lambda: wire.api.was_reset("p", since=500.0), wire.end_init, check)
