"""Backoff with jitter, and the retries of calls other than an acquire.

When an acquire is tried again is decided in `lease/waiting.py`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import TypeVar

from ..errors import AppIdManagerError, RequestTimeout, TransportError
from ..runtime.time import SystemTime

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=AppIdManagerError)

CALL_RETRIES = 3
"""How many more tries follow the first, at most."""

MIN_PAUSE = 0.05
"""The shortest pause between two tries in seconds, whatever pause was asked for."""

BACKOFF_START = 0.5
"""The longest pause after the first failure in seconds. Each further failure doubles it."""

LONGEST_CALL_BACKOFF = 5.0
"""The longest pause between two tries of a call that is no acquire, in seconds."""

MAX_RETRY_AFTER = 300.0
"""The longest `Retry-After` that is followed, in seconds."""

TURN_JITTER = 0.05
"""Those who wait for the turn of the hour come within so many seconds after it, not all at once."""


def retry(
    system: SystemTime,
    work: Callable[[int], T],
    *,
    longest: float,
    may_retry: Callable[[TransportError], bool] = lambda error: True,
) -> T:
    """Call `work(attempt)` until it succeeds, at most `CALL_RETRIES` times more after failures.

    Args:
        system: the clock, the sleep and the jitter.
        work: the call; its argument is the number of failures before it.
        longest: the longest pause between two tries, in seconds.
        may_retry: returns whether another try may follow a failure.

    Raises:
        TransportError: the last failure; its message says how often and how long it was tried.
    """
    started = system.monotonic()
    never = threading.Event()
    attempt = 0
    while True:
        try:
            return work(attempt)
        except TransportError as error:
            attempt += 1
            if attempt > CALL_RETRIES or not error.retryable or not may_retry(error):
                failure = describe(error, attempt, system.monotonic() - started)
                break
            pause = max(backoff(system, attempt, longest), min(error.retry_after or 0.0, longest))
        system.wait(never, pause)
    raise failure


def unless_it_was_slow(error: TransportError) -> bool:
    """For `may_retry` of large answers: no after a request that was received, and not answered.

    The service is at work on that answer still, and would be at work on a second one.
    """
    return not (isinstance(error, RequestTimeout) and error.maybe_received)


def backoff(system: SystemTime, failures: int, longest: float) -> float:
    """A pause in seconds: exponential backoff with full jitter.

    At most 0.5 s after the first failure. Each further failure doubles that, up to `longest`.
    """
    ceiling = max(MIN_PAUSE, min(longest, BACKOFF_START * 2 ** min(failures - 1, 30)))
    return system.uniform(MIN_PAUSE, ceiling)


def describe(error: ErrorT, tries: int, waited: float) -> ErrorT:
    """The error with the number of tries in its message; unchanged after a single try."""
    if tries <= 1:
        return error
    described = copy.copy(error)
    described.args = (f"{error}; gave up after {tries} tries in {waited:.1f} s",)
    return described
