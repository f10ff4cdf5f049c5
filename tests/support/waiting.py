"""Waits for another thread or process: by polling, with a deadline and a name for the error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 40.0
"""Seconds that a test waits for something that takes milliseconds: the machine may be loaded."""


def wait_until(
    predicate: Callable[[], T], timeout: float = PATIENCE, *, what: str | None = None
) -> T:
    """Return the first true value of `predicate()`; fail, naming `what`, after `timeout` seconds.

    For other processes. Within one process a `threading.Event` is better.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            name = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not within {timeout:g} s: {name} (last value: {value!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return value
