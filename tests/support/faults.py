"""Faults that a test queues, and gates that hold a request until the test lets it go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Self

from .waiting import PATIENCE

When = Literal["before", "after"]
"""Before or after the service acts on a call."""


class Fault(Enum):
    """How one call fails. The comment says whether the service acts, and what the caller sees."""

    LOSE_ANSWER = "lose_answer"  # acts; the connection is closed without an answer
    CLOSE_UNREAD = "close_unread"  # closed before the request is read: a reset, nothing happened
    RESET_HALF_WAY = "reset_half_way"  # acts; half of the answer, then a reset
    TRUNCATE = "truncate"  # acts; half of the answer, then an orderly end
    INTERNAL_ERROR = "internal_error"  # 500, did nothing
    UNAVAILABLE = "unavailable"  # 503 with Retry-After, did nothing
    TOO_MANY_REQUESTS = "too_many_requests"  # 429 with Retry-After, did nothing
    HTML = "html"  # 200 and a web page, did nothing
    WRONG_SHAPE = "wrong_shape"  # acts; 200 and JSON that is no answer of the contract
    REDIRECT = "redirect"  # 302 to `location`, did nothing
    HANG = "hang"  # silence until `release()` (then it acts and answers) or until the caller leaves


ACTS = frozenset(
    {Fault.LOSE_ANSWER, Fault.RESET_HALF_WAY, Fault.TRUNCATE, Fault.WRONG_SHAPE, Fault.HANG}
)


@dataclass(eq=False)
class QueuedFault:
    """A queued fault. `wait_reached` waits until a call meets it; `release` ends a HANG."""

    path: str | None
    fault: Fault
    left: int
    retry_after: int | str
    location: str
    released: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def acts(self) -> bool:
        """Whether the service acts on the call."""
        return self.fault in ACTS

    def wait_reached(self, timeout: float = PATIENCE) -> None:
        assert self.reached.wait(timeout), f"no call met {self.fault} within {timeout:g} s"

    def release(self) -> None:
        self.released.set()


class Faults:
    """Faults in their order for each path. One for any path (`None`) is met by the next call."""

    def __init__(self, full_path: Callable[[str], str]) -> None:
        self._full_path = full_path
        self._lock = threading.Lock()  # guards the list and its counters
        self._queue: list[QueuedFault] = []

    def queue(
        self,
        path: str | None,
        fault: Fault,
        times: int = 1,
        *,
        retry_after: int | str = 1,
        location: str = "http://127.0.0.1:9/elsewhere",
    ) -> QueuedFault:
        """Have the next `times` calls of `path` fail that way.

        `path` is the short name ("acquire", "health"), a whole path, or `None` for any.
        """
        item = QueuedFault(
            path=None if path is None else self._full_path(path),
            fault=fault,
            left=times,
            retry_after=retry_after,
            location=location,
        )
        with self._lock:
            self._queue.append(item)
        return item

    @property
    def pending(self) -> int:
        """How many calls will still fail."""
        with self._lock:
            return sum(item.left for item in self._queue)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def take(self, path: str) -> QueuedFault | None:
        """For the service: the fault that this call meets, or `None`."""
        with self._lock:
            for item in self._queue:
                if item.path in (None, path):
                    item.left -= 1
                    if item.left <= 0:
                        self._queue.remove(item)
                    item.reached.set()
                    return item
        return None


class Hold:
    """A gate before or after the service acts. Its `with` block opens it at the end."""

    def __init__(self, path: str | None, when: When, times: int | None) -> None:
        self.path = path
        self.when = when
        self._times = times
        self._condition = threading.Condition()  # guards the two fields below
        self._arrived = 0
        self._open = False

    def wait_reached(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Wait until `count` calls have come to the gate."""
        with self._condition:
            reached = self._condition.wait_for(lambda: self._arrived >= count, timeout)
        assert reached, f"not {count} calls {self.when} {self.path} within {timeout:g} s"

    def release(self) -> None:
        """Open the gate for the calls that wait at it and all later ones."""
        with self._condition:
            self._open = True
            self._condition.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def pass_through(self, path: str, when: When) -> None:
        """For the service: wait until this gate opens, if it is meant for this call."""
        if when != self.when or self.path not in (None, path):
            return
        with self._condition:
            if self._open or (self._times is not None and self._arrived >= self._times):
                return
            self._arrived += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._open)
