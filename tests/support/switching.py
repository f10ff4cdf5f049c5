"""Two threads, one of which stops at a chosen step: what a lock of the package is for, seen surely.

A `Scene` has two things that two threads do at the same time. `first_break` stops the first before
each of its steps in turn (a step is one instruction of Python in the scene's files). Meanwhile the
second runs until it has ended, or has to wait for a lock of the package. Then both go on, and the
scene checks the result. Any one lock can be taken away: then nobody waits for it.

Nothing here depends on time or chance: a lock says itself when somebody waits for it.
"""

from __future__ import annotations

import functools
import itertools
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType
from typing import Any, Self

from .waiting import PATIENCE


@dataclass
class Result:
    """What one of the two did: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


@dataclass
class Play:
    """One performance of a scene. `check` raises an AssertionError when the result is wrong."""

    first: Callable[[], object]
    second: Callable[[], object]
    check: Callable[[Result, Result], object]
    may_raise: tuple[type[BaseException], ...] = ()
    """The errors that the two may end with; any other one is a wrong result."""


Perform = Callable[["Setting"], Play]


@dataclass(frozen=True)
class Scene:
    """What two threads do at the same time, and which lock makes it right.

    Attributes:
        lock: the class that made the lock.
        files: the first thread can stop in these modules.
        play: sets up a performance; the stack is closed after it.
        thread: how the name of the thread begins that stops, if it is not the first.
    """

    lock: str
    files: tuple[ModuleType, ...]
    play: Perform
    thread: str = ""

    def __str__(self) -> str:
        return f"{self.lock}-{self.play.__name__}"


class Scenes(list[Scene]):
    """Scenes, each added by a decorator of the function that sets it up."""

    def scene(
        self, lock: str, *files: ModuleType, thread: str = ""
    ) -> Callable[[Perform], Perform]:
        def add(play: Perform) -> Perform:
            self.append(Scene(lock, files, play, thread))
            return play

        return add


class _Stage:
    """Where one performance stands. All locks of the package that are made meanwhile tell it."""

    def __init__(self, scene: Scene, at: int, without: str | None) -> None:
        self.without = without
        self._files = {module.__file__ for module in scene.files}
        self._name = scene.thread
        self._at = at
        self._step = 0
        self._stopped: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._waits: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._go_on = threading.Event()
        self._onlookers: set[threading.Thread] = set()

    def perform(self, play: Play) -> tuple[bool, Result, Result]:
        """Returns whether the first was stopped, and what became of both."""
        results = Result(), Result()
        first = _start(play.first, results[0], self._first_ended, self.trace)
        stopped = self._stopped.get(timeout=PATIENCE)
        self._onlookers.add(first)
        second = _start(play.second, results[1], self.waits)
        self._waits.get(timeout=PATIENCE)
        self._go_on.set()
        for thread in (first, second):
            thread.join(PATIENCE)
            assert not thread.is_alive(), "one of the two never ends"
        return stopped, *results

    def waits(self) -> None:
        """A thread waits for a lock, or the second has ended."""
        if threading.current_thread() not in self._onlookers:
            self._waits.put(None)

    def _first_ended(self) -> None:
        self._stopped.put(False)

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        if self._name and not threading.current_thread().name.startswith(self._name):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace_step

    def _trace_step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            self._step += 1
            if self._step == self._at:
                self._onlookers.add(threading.current_thread())
                self._stopped.put(True)
                assert self._go_on.wait(PATIENCE)
        return self._trace_step


@functools.cache
def _want_instructions() -> None:
    """Trace something once: CPython 3.12 tells the first tracing of a process no instruction."""

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    _nothing()
    sys.settrace(before)


def _nothing() -> None:
    """Called to be traced."""


def _start(
    work: Callable[[], object],
    result: Result,
    ended: Callable[[], None],
    trace: Callable[..., Any] | None = None,
) -> threading.Thread:
    def run() -> None:
        # CPython 3.12 tells of instructions only if some frame wants it when tracing begins.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(trace)
        try:
            result.value = work()
        except BaseException as error:
            result.error = error
        finally:
            sys.settrace(None)
            ended()

    thread = threading.Thread(target=run, name="scene")
    thread.start()
    return thread


class WatchedLock:
    """A lock of the package that says when somebody has to wait for it, or one that is no lock."""

    def __init__(self, real: Any, stage: _Stage, owner: str) -> None:
        self._real = real
        self._stage = stage
        self.removed = owner == stage.without

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self.removed or self._real.acquire(False):
            return True
        if not blocking:
            return False
        self._stage.waits()
        taken: bool = self._real.acquire(True, timeout)
        return taken

    def release(self) -> None:
        if not self.removed:
            self._real.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class Setting(ExitStack):
    """What a performance needs, closed after it."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        self._stage = stage

    def watched(self, real: Any, owner: str) -> WatchedLock:
        """In place of `real`, for a lock that was made when its module was imported."""
        return WatchedLock(real, self._stage, owner)


GATES = frozenset({"ThreadWaiter", "Call"})
"""Classes that wait at a lock of their own, which is opened once: it guards nothing."""


def owner_of(frame: FrameType) -> str | None:
    """The class (or else the function) of the package that makes a lock in `frame`; not a gate."""
    if not frame.f_globals.get("__name__", "").startswith("appid_manager_client."):
        return None
    itself = frame.f_locals.get("self")
    code: CodeType = frame.f_code
    owner = code.co_name if itself is None else type(itself).__name__
    return None if owner in GATES else owner


@contextmanager
def _watched(stage: _Stage) -> Iterator[None]:
    """Within the block the package makes watched locks; everybody else real ones."""
    makers = {"Lock": threading.Lock, "RLock": threading.RLock}

    def maker(real: Callable[[], Any]) -> Callable[[], Any]:
        def make() -> Any:
            owner = owner_of(sys._getframe(1))
            return real() if owner is None else WatchedLock(real(), stage, owner)

        return make

    try:
        for name, real in makers.items():
            setattr(threading, name, maker(real))
        yield
    finally:
        for name, real in makers.items():
            setattr(threading, name, real)


def first_break(scene: Scene, *, without: str | None = None) -> str | None:
    """Play the scene with a stop at each step. Returns where it first went wrong, if anywhere."""
    _want_instructions()
    for at in itertools.count(1):
        stage = _Stage(scene, at, without)
        with Setting(stage) as stack:
            stack.enter_context(_watched(stage))
            play = scene.play(stack)
            if scene.thread:
                threading.settrace(stage.trace)
                stack.callback(threading.settrace, None)
            stopped, first, second = stage.perform(play)
            for result in (first, second):
                if result.error is not None and not isinstance(result.error, play.may_raise):
                    return f"stopped at step {at}: {result.error!r}"
            try:
                play.check(first, second)
            except AssertionError as error:
                return f"stopped at step {at}: {error}"
        if not stopped:
            assert at > 1, "the first runs through none of the scene's files"
            return None
    raise AssertionError("unreachable")
