"""An open transaction, as every kind of operation gets it: one connection, one time, one hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from ..hours import Hour, Hours
from .contract import Engine

T = TypeVar("T")

# Well below the number of variables that a statement may have.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that was begun, with the one time that holds for everything in it.

    `now` is read after the last lock was taken: the operations happen then, however long they
    waited.

    Attributes:
        hours: where the hours begin and end.
        engine: the engine whose transaction it is.
        may_forget: whether what is old by `now` may be deleted: the clock has been left alone for
            long enough.
        locked: the rows of `appids` whose state may be changed; `None`: all of them.
        due: whether a lease may have expired that can be ended now.
        repeats: whether a request of the batch was known when the transaction began.
        waiting: whether anybody may wait in line.
        lines: the products whose line may be changed; `None`: all of them.
        paused: the products that are paused.
    """

    connection: Connection
    now: int
    hours: Hours
    engine: Engine
    may_forget: bool = False
    locked: frozenset[int] | None = None
    due: bool = True
    repeats: bool = True
    waiting: bool = True
    lines: frozenset[str] | None = None
    paused: frozenset[str] = frozenset()

    @property
    def hour(self) -> Hour:
        """The hour of `now`."""
        return self.hours.at(self.now)


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Split `values` into lists that fit into one statement."""
    rest = list(values)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]
