"""Backoff with jitter, and trying a call again after failures that may pass.

When an acquire is tried again is decided in `lease/waiting.py`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import TypeVar

from ..errors import AppIdManagerError, TransportError
from ..runtime.time import SystemTime

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=AppIdManagerError)

CALL_RETRIES = 3
"""How often a call other than an acquire is tried again, at the most."""

MIN_PAUSE = 0.05
"""No two tries are nearer to each other than this, in seconds, whatever was asked for."""

BACKOFF_START = 0.5
"""The longest pause after the first failure, in seconds; it doubles with each further one."""

MAX_RETRY_AFTER = 300.0
"""The longest `Retry-After` that is obeyed, in seconds."""


def retry(
    system: SystemTime,
    work: Callable[[int], T],
    *,
    longest: float,
    may_retry: Callable[[TransportError], bool] = lambda error: True,
) -> T:
    """Call `work(attempt)` until it succeeds; up to `CALL_RETRIES` more tries after failures.

    Args:
        system: the clock, the sleep and the jitter.
        work: the call; it gets the number of failures before it.
        longest: the longest pause between two tries, in seconds.
        may_retry: whether a failure may be followed by another try.

    Raises:
        TransportError: the last failure, saying what was tried.
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


def backoff(system: SystemTime, failures: int, longest: float) -> float:
    """Exponential backoff with full jitter, in seconds.

    At most 0.5 s after the first failure, doubling with each further one up to `longest` seconds.
    """
    ceiling = max(MIN_PAUSE, min(longest, BACKOFF_START * 2 ** min(failures - 1, 30)))
    return system.uniform(MIN_PAUSE, ceiling)


def describe(error: ErrorT, tries: int, waited: float) -> ErrorT:
    """The same error, with what was tried in its message; unchanged after a single try."""
    if tries <= 1:
        return error
    described = copy.copy(error)
    described.args = (f"{error}; gave up after {tries} tries in {waited:.1f} s",)
    return described
