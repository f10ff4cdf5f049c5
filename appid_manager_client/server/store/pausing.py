"""Products that are paused: nothing of theirs is granted, and their line stands."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select, text

from ..operations import Acquire, Exhausted, Outcome, Pause, Paused, Refused
from .acts import note_act
from .granting import unknown_product
from .hot import Hot
from .tables import pauses
from .transaction import Transaction

_PAUSED = Hot(select(pauses.c.product))
# Of two at once, both are carried out.
_PAUSE = text(
    "INSERT INTO pauses (product, since, note) VALUES (:of_product, :now, :note)"
    " ON CONFLICT (product) DO UPDATE SET note = excluded.note"
)
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
    if operation.paused:
        execute(_PAUSE, {"of_product": product, "now": transaction.now, "note": by.note})
        note_act(transaction, "pause", product, by)
    elif execute(_RESUME, {"of_product": product}).rowcount:
        note_act(transaction, "resume", product, by)
    return Paused(product, operation.paused, by.note, transaction.now)


def answer_paused(transaction: Transaction, operation: Acquire) -> Exhausted | Refused:
    """The outcome of an acquire without a place in line, of a product that is paused."""
    hour_end = transaction.hour.end
    return unknown_product(transaction, operation.product) or Exhausted(
        "waiting", operation.product, hour_end, transaction.now, hour_end, paused=True
    )
