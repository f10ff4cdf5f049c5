"""What the other locks guard: threads, the default client, pools, clocks, a terminal."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from prometheus_client import CollectorRegistry

import appid_manager_client.client as client_module
import appid_manager_client.default as default_module
from appid_manager_client import AppIdClient, ClientClosed, testing
from appid_manager_client.events import Event, EventKind
from appid_manager_client.integrations import _pytest_waits
from appid_manager_client.integrations import prometheus as prometheus_module
from appid_manager_client.runtime import executor as executor_module
from appid_manager_client.runtime import worker as worker_module
from appid_manager_client.runtime.executor import Executor
from appid_manager_client.runtime.time import SystemTime
from appid_manager_client.runtime.worker import Worker
from appid_manager_client.server.store import postgres_watch
from tests.support.switching import Play, Result, Scenes
from tests.support.waiting import PATIENCE, wait_until

SCENES = Scenes()
NOWHERE = "http://127.0.0.1:9"


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


# --- runtime/


def a_worker(stack: ExitStack) -> Worker[None]:
    worker: Worker[None] = Worker("scene-worker", lambda _: None, SystemTime())

    def end() -> None:
        for thread in threads_named("scene-worker"):
            worker.stop()
        for thread in threads_named("scene-worker"):
            thread.join(PATIENCE)

    stack.callback(end)
    return worker


@SCENES.scene("Worker", worker_module)
def two_threads_start_a_worker(stack: ExitStack) -> Play:
    worker = a_worker(stack)

    def check(*_: Result) -> None:
        assert len(threads_named("scene-worker")) == 1

    return Play(worker.start, worker.start, check)


@SCENES.scene("Worker", worker_module)
def a_worker_is_joined_while_it_is_started(stack: ExitStack) -> Play:
    worker = a_worker(stack)
    return Play(worker.start, lambda: worker.join(0.0), lambda *_: None)


@SCENES.scene("Worker", worker_module, thread="scene-worker")
def a_worker_gets_work_while_it_ends(stack: ExitStack) -> Play:
    work: list[str] = []
    worker: Worker[None] = Worker(
        "scene-worker", lambda _: work.clear(), SystemTime(), idle=lambda: not work
    )

    def run_to_the_end() -> None:
        worker.stop_when_idle()
        worker.start()
        wait_until(lambda: not worker.running)

    def add() -> None:
        work.append("one")
        worker.wake()

    def check(*_: Result) -> None:
        wait_until(lambda: not worker.running)
        assert not work

    return Play(run_to_the_end, add, check)


def an_executor(stack: ExitStack) -> Executor:
    executor = Executor("scene-executor", 1, SystemTime())
    stack.callback(executor.close, PATIENCE)
    return executor


@SCENES.scene("Executor", executor_module)
def two_calls_start_the_threads(stack: ExitStack) -> Play:
    executor = an_executor(stack)

    def call() -> threading.Thread:
        return executor.submit(threading.current_thread).result(PATIENCE)

    def check(one: Result, other: Result) -> None:
        assert one.value is other.value, "there is one thread at most"

    return Play(call, call, check)


@SCENES.scene("Executor", executor_module)
def the_executor_closes_while_a_call_starts_its_threads(stack: ExitStack) -> Play:
    executor = an_executor(stack)

    def check(thread: Result, _: Result) -> None:
        assert threads_named("scene-executor") == [], "nobody ends it"

    return Play(
        lambda: executor.submit(threading.current_thread).result(PATIENCE),
        lambda: executor.close(PATIENCE),
        check,
    )


# --- clients


def no_default_client(stack: ExitStack) -> AppIdClient:
    """Returns a client to make the default."""
    stack.enter_context(patch.dict(os.environ, {"APPID_MANAGER_URL": NOWHERE}))
    stack.enter_context(patch.object(default_module, "_default", default_module._Default()))
    return AppIdClient(NOWHERE)


@SCENES.scene("_Default", default_module)
def two_threads_need_the_default_client(stack: ExitStack) -> Play:
    no_default_client(stack)

    def check(one: Result, other: Result) -> None:
        assert one.value is other.value

    get = default_module.get_default_client
    return Play(get, get, check)


@SCENES.scene("_Default", default_module)
def the_default_client_is_set_while_one_is_made(stack: ExitStack) -> Play:
    client = no_default_client(stack)

    def check(*_: Result) -> None:
        assert default_module.get_default_client() is client

    return Play(
        default_module.get_default_client, lambda: default_module.set_default_client(client), check
    )


@SCENES.scene("AppIdClient", client_module)
def a_client_closes_while_a_pool_is_made(stack: ExitStack) -> Play:
    client = AppIdClient(NOWHERE)

    def check(made: Result, _: Result) -> None:
        assert made.error or made.value.get_stats().closed

    return Play(lambda: client.pool("p"), client.close, check, may_raise=(ClientClosed,))


# --- the clock of a LocalService


@SCENES.scene("TurnedClock", testing)
def two_threads_turn_a_clock(stack: ExitStack) -> Play:
    clock = testing.TurnedClock(1000)
    clock.freeze()
    before = clock()

    def check(*_: Result) -> None:
        assert clock() == before + 3000

    return Play(lambda: clock.advance(1), lambda: clock.advance(2), check)


@SCENES.scene("TurnedClock", testing)
def a_clock_is_set_while_it_is_frozen(stack: ExitStack) -> Play:
    clock = testing.TurnedClock(1000)

    def check(*_: Result) -> None:
        assert clock() >= 9_000_000

    return Play(clock.freeze, lambda: clock.set_time(9_000_000), check)


# --- the terminal of pytest


class ShownTexts:
    """A terminal that keeps what was written."""

    live = True

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.begun = threading.Event()

    def rewrite(self, text: str) -> None:
        self.texts.append(text)
        self.begun.set()


@SCENES.scene("Waits", _pytest_waits, thread="appid-test-waits")
def a_wait_ends_while_it_is_written(stack: ExitStack) -> Play:
    shown = ShownTexts()
    screen: Any = shown
    waits = _pytest_waits.Waits(screen)
    stack.callback(waits.end)

    def wait_for(product: str) -> None:
        waits(Event(EventKind.WAITING, NOWHERE, product, seconds=600.0, reason="none is free"))

    def begin() -> None:
        wait_for("p")
        assert shown.begun.wait(PATIENCE)

    def end() -> None:
        waits.end()
        shown.texts.append("(it has ended)")
        shown.begun.set()

    def check(*_: Result) -> None:
        wait_for("q")  # when that is shown, the thread is through with the first one
        wait_until(lambda: "of q" in shown.texts[-1])
        ended = shown.texts.index("(it has ended)")
        assert not any("of p" in text for text in shown.texts[ended:])

    return Play(begin, end, check)


# --- server/


class KnownConnection:
    """What a watch shuts; it counts the shuts."""

    def __init__(self, stack: ExitStack) -> None:
        self.socket, other = socket.socketpair()
        stack.callback(self.socket.close)
        stack.callback(other.close)
        self.asked = 0

    def fileno(self) -> int:
        self.asked += 1
        return self.socket.fileno()

    def cancel_safe(self, timeout: float) -> None:
        """Nothing is asked of a server here."""


@SCENES.scene("Exchange", postgres_watch)
def an_exchange_ends_while_it_is_given_up(stack: ExitStack) -> Play:
    connection = KnownConnection(stack)
    watched: Any = connection
    exchange = postgres_watch.Exchange(watched, -1.0)
    stack.enter_context(patch.object(postgres_watch, "_REACTION", -1.0))
    exchange.look()  # its time is over: cancelled

    def end() -> int:
        exchange.end()
        return connection.asked

    def check(_: Result, ended: Result) -> None:
        assert connection.asked == ended.value, "the next exchange's connection was shut"

    return Play(exchange.look, end, check)


# --- integrations/


@SCENES.scene("LeaseMetrics", prometheus_module)
def two_threads_watch_a_pool(stack: ExitStack) -> Play:
    metrics = prometheus_module.LeaseMetrics(CollectorRegistry())
    client = stack.enter_context(AppIdClient(NOWHERE))
    pool = stack.enter_context(client.pool("p", max_size=1))

    def check(*_: Result) -> None:
        assert len(metrics._pools) == 1

    return Play(lambda: metrics.watch(pool), lambda: metrics.watch(pool), check)
