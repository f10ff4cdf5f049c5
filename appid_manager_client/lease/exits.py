"""The end of a process: all clients give back what they hold, side by side, by one deadline.

The only place that hooks into the end of a process. `atexit` is not enough: a child that
`multiprocessing` (or Celery's billiard) forked ends without it, by way of its own finalizers.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..runtime import forks
from ..runtime.executor import INTERRUPTS_ENDURED

EXIT_TIMEOUT = 5.0
"""Seconds that the end of the process, or `close()`, may spend on giving back what is left."""

_LAST = -1000
"""The priority of the finalizer: what programs register themselves comes first."""


class Keeper(Protocol):
    """What the end of a process needs of a keeper."""

    @property
    def idle(self) -> bool:
        """Whether nothing is held, asked for, or owed."""

    def post(self, work: Callable[[], object]) -> bool:
        """Have a thread that runs already call `work`. Returns whether there is one."""

    def close(self, timeout: float) -> object:
        """Give back all that is held or owed, within about `timeout` seconds."""

    def leave(self) -> None:
        """Write down what is still owed; nothing more is tried."""


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def register(keeper: Keeper) -> None:
    """Have what `keeper` holds given back when this process, or a child of it, ends."""
    _children.watch_this_process()
    _keepers.add(keeper)


class _Children:
    """Registers for the ends that `atexit` misses: those of multiprocessing's children."""

    def __init__(self) -> None:
        self._watched_pid = 0
        forks.register(self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        # The child forgets its finalizers right after this, and then calls what is registered so.
        for package in ("multiprocessing", "billiard"):
            util = sys.modules.get(f"{package}.util")
            if util is not None:
                util.register_after_fork(self, _Children.watch_this_process)

    def watch_this_process(self) -> None:
        """Have this process give back what it holds, if it is such a child."""
        if self._watched_pid == os.getpid():
            return
        for package in ("multiprocessing", "billiard"):
            # Not imported here: a process that is such a child has them loaded.
            process, util = (sys.modules.get(f"{package}.{name}") for name in ("process", "util"))
            # The first process of a program is of a class of its own.
            if process and util and type(process.current_process()).__name__ != "_MainProcess":
                util.Finalize(None, _at_the_end_of_a_child, exitpriority=_LAST)
                self._watched_pid = os.getpid()


_children = _Children()


def _at_the_end_of_a_child() -> None:
    # As at the end of any process: first the program's own threads end, then what is left of
    # their leases goes back. multiprocessing waits for them itself right after its finalizers.
    shut_down = getattr(threading, "_shutdown", None)
    if shut_down is not None:
        shut_down()
    give_back_everything()


@atexit.register
def give_back_everything(timeout: float = EXIT_TIMEOUT) -> None:
    """Have each client give back what it holds, at the same time, within about `timeout` seconds.

    No new thread can be started at the end of a process, so each keeper does it on the thread
    that does its rounds. An interrupt stops nothing; the third one ends the wait. It is raised
    when the others are done.
    """
    deadline = time.monotonic() + timeout
    keepers = [keeper for keeper in list(_keepers) if not keeper.idle]
    interrupts: list[BaseException] = []
    under_way: list[tuple[Keeper, threading.Event]] = []
    alone: list[Keeper] = []
    for keeper in keepers:
        done = threading.Event()
        if keeper.post(partial(_close, keeper, timeout, done)):
            under_way.append((keeper, done))
        else:
            alone.append(keeper)
    for keeper in alone:
        try:
            keeper.close(max(0.0, deadline - time.monotonic()))
        except BaseException as interrupt:
            interrupts.append(interrupt)
    for keeper, done in under_way:
        while not done.is_set() and len(interrupts) < INTERRUPTS_ENDURED:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                done.wait(left)
            except BaseException as interrupt:
                interrupts.append(interrupt)
        if not done.is_set():
            keeper.leave()
    if interrupts:
        raise interrupts[0]


def _close(keeper: Keeper, timeout: float, done: threading.Event) -> None:
    try:
        keeper.close(timeout)
    finally:
        done.set()
