"""Products that are paused: nothing of theirs is granted, and their line stands."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from ..operations import Acquire, Exhausted, Outcome, Pause, Paused, Refused
from .acts import note_act
from .granting import unknown_product
from .hot import Hot
from .tables import pauses
from .transaction import Transaction

_PAUSED = Hot(select(pauses.c.product))
_RESUME = delete(pauses).where(pauses.c.product == bindparam("of_product"))


def paused_products(connection: Connection) -> frozenset[str]:
    """The products that are paused now."""
    return frozenset(row.product for row in _PAUSED.all(connection))


def pause(transaction: Transaction, operation: Pause) -> Outcome:
    """Carry out `operation`; a product that is paused already gets the new note."""
    refused = unknown_product(transaction, operation.product)
    if refused is not None:
        return refused
    execute = transaction.connection.execute
    product, by = operation.product, operation.by
    was_paused = execute(_RESUME, {"of_product": product}).rowcount > 0
    if operation.paused:
        execute(insert(pauses).values(product=product, since=transaction.now, note=by.note))
    if operation.paused or was_paused:
        note_act(transaction, "pause" if operation.paused else "resume", product, by)
    return Paused(product, operation.paused, by.note, transaction.now)


def answer_paused(transaction: Transaction, operation: Acquire) -> Exhausted | Refused:
    """The outcome of an acquire without a place in line, of a product that is paused."""
    hour_end = transaction.hour.end
    return unknown_product(transaction, operation.product) or Exhausted(
        "waiting", operation.product, hour_end, transaction.now, hour_end, paused=True
    )
