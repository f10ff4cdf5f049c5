"""How each task of the soak of queues has to end."""

from __future__ import annotations

PRODUCT = "soak"


def fails(number: int) -> bool:
    """Whether a task raises: one in ten."""
    return number % 10 == 3


def is_killed(number: int) -> bool:
    """Whether a task's process is killed the first time: one in twenty."""
    return number % 20 == 7


def comes_back(number: int) -> bool:
    """Whether a killed task is delivered again, being acknowledged late; else it has failed."""
    return number % 40 == 7


def runs(number: int) -> int:
    """How often a task's body has to run."""
    return 2 if is_killed(number) and comes_back(number) else 1


def end(number: int) -> str:
    """How a task has to end: its state, or the name of its error."""
    if is_killed(number) and not comes_back(number):
        return "WorkerLostError"
    return "OnPurpose" if fails(number) else "SUCCESS"
