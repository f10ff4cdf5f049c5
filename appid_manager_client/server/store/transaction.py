"""An open transaction, as every kind of operation gets it: one connection, one time, one hour."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, bindparam, insert, update

from ..hours import Hour
from .tables import meta

T = TypeVar("T")

# Well below the number of variables that a statement may have.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that was begun, with the one time that holds for everything in it.

    `now` is read after the lock was taken: the operations happen then, however long they waited.
    """

    connection: Connection
    now: int
    hour: Hour


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Split `values` into lists that fit into one statement."""
    rest = list(values)
    for start in range(0, len(rest), _CHUNK):
        yield rest[start : start + _CHUNK]


_LOOK = "look"
_WRITE_LOOK = update(meta).where(meta.c.key == _LOOK).values(value=bindparam("mark"))
_ADD_LOOK = insert(meta)


def write_something(transaction: Transaction) -> None:
    """Change a row that means nothing, to learn whether the commit works."""
    # Another value each time: SQLite writes nothing where nothing changes.
    mark = secrets.token_hex(8)
    if not transaction.connection.execute(_WRITE_LOOK, {"mark": mark}).rowcount:
        transaction.connection.execute(_ADD_LOOK, {"key": _LOOK, "value": mark})
