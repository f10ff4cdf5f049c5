"""One transaction's view of the world, and what every kind of operation needs from it: ending leases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from ..hours import Hour

T = TypeVar("T")

# Well below the number of variables that a statement may have.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Moment:
    """A transaction, with the one time that holds for everything in it."""

    connection: Connection
    now: int
    hour: Hour


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """`values` in lists that fit into one statement."""
    rest = list(values)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]
