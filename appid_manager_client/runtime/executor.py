"""Runs calls on threads of its own, so that each call ends whoever stops waiting for it.

Signals, time limits and cancelled tasks interrupt the thread or coroutine that waits; the call
itself goes on in a thread of the executor. What the call does is for its caller.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from ..text import get_logger
from .forks import WithLock
from .signals import interrupts_strike_here
from .time import LONGEST_SLEEP, SystemTime
from .tracing import carry

T = TypeVar("T")

logger = get_logger()

INTERRUPTS_ENDURED = 3
"""How many interrupts end the wait for a shielded call: whoever interrupts so often means it."""


class Executor(WithLock):
    """A bounded set of threads, started on demand, and made anew in a forked child.

    Args:
        name: the prefix of the threads' names; it says whose they are.
        limit: the largest number of threads. Calls beyond it are queued.
        system: the clock.
    """

    def __init__(self, name: str, limit: int, system: SystemTime) -> None:
        super().__init__()
        self._system = system
        self._name = name
        self._limit = limit
        # Guarded by _lock: the threads, their process, and whether there may be any.
        self._threads: ThreadPoolExecutor | None = None
        self._pid = 0
        self._closed = False
        self._started_threads: list[threading.Thread] = []

    def _after_fork_in_child(self) -> None:
        """Forget the threads: they are the parent's."""
        super()._after_fork_in_child()
        self._threads = None

    def start(self, work: Callable[[], T]) -> Call[T]:
        """Begin to call `work` on a thread of the executor.

        After `close()`, and while the interpreter shuts down, it is called here, before this
        method returns: no thread can be started then.
        """
        call = Call(carry(work))
        self._run(call.run)
        return call

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """The same, for those who want a future of `concurrent.futures`."""
        future: Future[T] = Future()
        carried = carry(work)

        def resolve() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(carried())
                except BaseException as error:
                    future.set_exception(error)

        self._run(Call(resolve).run)
        return future

    def _run(self, run: Callable[[], None]) -> None:
        threads = self._started()
        if threads is None:
            run()
            return
        try:
            threads.submit(run)
        except (RuntimeError, MemoryError):
            # No thread can be started. The call may have been queued all the same: it runs once.
            run()

    def _started(self) -> ThreadPoolExecutor | None:
        """The threads of this process, or `None` after `close()`: nobody would end new ones."""
        with self._lock:
            if self._closed:
                return None
            if self._threads is None or self._pid != os.getpid():
                self._started_threads = started = []
                # The threads must not keep this object: they end when it is garbage-collected.
                self._threads = ThreadPoolExecutor(
                    self._limit,
                    thread_name_prefix=self._name,
                    initializer=lambda: started.append(threading.current_thread()),
                )
                self._pid = os.getpid()
            return self._threads

    def run_shielded(self, work: Callable[[], T], bound: float) -> T:
        """Call `work`, and return only when it is done or `bound` seconds have passed.

        An interrupt (the exception of a signal or of a task's time limit) that strikes meanwhile
        is raised afterwards. The third interrupt is raised at once. Where none can strike, it is
        called here, and only its own limits bound it: to change threads costs more than the rest.

        Raises:
            TimeoutError: the bound has passed; the work goes on.
        """
        if not interrupts_strike_here():
            return work()
        call = self.start(work)
        deadline = self._system.monotonic() + bound
        interrupts: list[BaseException] = []
        while not call.done and len(interrupts) < INTERRUPTS_ENDURED:
            left = deadline - self._system.monotonic()
            if left <= 0:
                break
            try:
                call.wait(min(left, LONGEST_SLEEP))
            except BaseException as interrupt:
                interrupts.append(interrupt)
        if interrupts:
            raise interrupts[0]
        return call.result()

    def close(self, timeout: float = 0.0) -> None:
        """Have the threads end when their work is done; wait `timeout` seconds for that."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if self._pid != os.getpid():
            return
        if threads is not None:
            threads.shutdown(wait=False)
        deadline = self._system.monotonic() + timeout
        for thread in self._started_threads:
            left = deadline - self._system.monotonic()
            if left > 0 and thread is not threading.current_thread():
                thread.join(left)


class Call(Generic[T]):
    """One call on a thread of an executor. It runs at most once, whoever runs it.

    A future of `concurrent.futures` does the same, and costs twice as much time as the hop.

    Attributes:
        done: whether it has come to its end.
        error: what it raised; `None` if nothing, or not yet.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = [work]
        self._value: list[T] = []
        self.error: BaseException | None = None
        self._then: list[Callable[[], object]] = []
        # Opened once, at the end. It is a bare lock: an interrupt can strike while a thread has
        # the lock of an Event or a Condition, and the call could not end any more.
        self._gate = threading.Lock()
        self._gate.acquire()
        self.done = False

    def run(self) -> None:
        """Carry it out, unless that was done or it was dropped."""
        try:
            work = self._work.pop()
        except IndexError:
            return
        try:
            self._value.append(work())
        except BaseException as error:
            self.error = error
        self.done = True
        self._gate.release()
        self._tell()
        # The traceback of an error has this frame. With these it would keep itself alive.
        del self, work

    def drop(self) -> None:
        """Nobody wants it any more: it need not begin. One that has begun goes on."""
        self._work.clear()

    def wait(self, seconds: float | None) -> bool:
        """Wait until it is done, at most so many seconds. Returns whether it is."""
        bound = -1.0 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
        if not self.done and self._gate.acquire(timeout=bound):
            self._gate.release()  # for others who wait
        return self.done

    def when_done(self, then: Callable[[], object]) -> None:
        """Have `then` called when it is done, on whatever thread. It must not raise."""
        self._then.append(then)
        if self.done:
            self._tell()

    def _tell(self) -> None:
        # Both threads may come here: whoever takes it out calls it.
        while self._then:
            try:
                then = self._then.pop()
            except IndexError:
                return
            then()

    def result(self) -> T:
        """What it returned.

        Raises:
            TimeoutError: it is not done.
            BaseException: what it raised.
        """
        try:
            if self.error is not None:
                raise self.error
            if not self._value:
                raise TimeoutError("the call is not done")
            return self._value[0]
        finally:
            del self  # as in run()


def is_shutting_down(error: BaseException) -> bool:
    """Whether a thread can't be started because the interpreter ends; else there is none left."""
    return sys.is_finalizing() or "shutdown" in str(error)


def call_aside(callback: Callable[[], object], what: str) -> None:
    """Call a user's callback on a thread of its own; what it raises is logged.

    Not on an executor: its threads are bounded, needed for calls to the service, and waited for
    at the end of the process.
    """

    def run() -> None:
        try:
            callback()
        except Exception:
            logger.exception("%s failed", what)

    try:
        threading.Thread(target=run, name="appid-callback", daemon=True).start()
    except (RuntimeError, MemoryError):
        logger.warning("%s was not called: no thread can be started", what)
