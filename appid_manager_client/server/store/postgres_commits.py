"""What became of a commit whose answer was lost, and of grants that nobody heard of.

To carry out such a batch again could grant twice, so PostgreSQL is asked what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sqlalchemy import Connection

from ..operations import Release, Unavailable
from . import postgres_sql as sql
from .postgres_connect import commit, run_together
from .postgres_errors import away


@dataclass(slots=True)
class Batch:
    """What is known of a write transaction, in case the answer to its commit gets lost.

    Attributes:
        number: PostgreSQL's own, of the transaction.
        incarnation: of the server; a number is good for one incarnation.
        grants: what would release each grant, and whether its caller can ask for it again.
    """

    number: str
    incarnation: str
    grants: list[tuple[Release, bool]] = field(default_factory=list)


class OpenBatches:
    """Batches of which nobody knows whether they were committed. Their callers were told so."""

    def __init__(self) -> None:
        self._open: list[Batch] = []
        self._forsaken: list[Release] = []

    def add(self, batch: Batch) -> None:
        """Remember a batch, to find out later what became of it."""
        self._open.append(batch)

    def settle(self, connection: Connection) -> None:
        """Find out what became of them, outside of a transaction.

        What was granted to callers that can't ask for it again is forsaken.

        Raises:
            Unavailable: the database doesn't vouch for what it has committed.
        """
        for batch in list(self._open):
            fate = fate_of(batch, connection)
            if fate is Fate.UNDER_WAY:
                continue
            self._open.remove(batch)
            if fate is Fate.COMMITTED:
                self._forsaken += [release for release, again in batch.grants if not again]

    def take_forsaken(self) -> list[Release]:
        """What has to be released. Each is returned once."""
        forsaken, self._forsaken = self._forsaken, []
        return forsaken


class Fate(Enum):
    """What became of a batch."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNDER_WAY = "in progress"
    UNKNOWN = "unknown"


def fate_of(batch: Batch, connection: Connection) -> Fate:
    """What became of a batch; `connection` is outside of a transaction.

    Raises:
        Unavailable: the database doesn't vouch for what it has committed.
    """
    connection.begin()
    run_together(connection, sql.BEGIN_FATE)
    asked = {"number": batch.number, "incarnation": batch.incarnation}
    # PostgreSQL says nothing at all of transactions of long ago.
    fate = Fate(connection.exec_driver_sql(sql.FATE, asked).scalar_one() or "unknown")
    if fate is Fate.UNKNOWN and batch.grants:
        ids = [release.lease_id for release, _ in batch.grants]
        found = connection.exec_driver_sql(sql.ANY_LEASE, {"lease_ids": ids}).first()
        fate = Fate.ABORTED if found is None else Fate.COMMITTED
    warning = commit(connection)
    if warning is not None:
        raise not_vouched_for(warning)
    return fate


def not_vouched_for(warning: str) -> Unavailable:
    """What callers hear when a commit came with a warning."""
    return away(f"the database doesn't vouch for what it has committed: {warning}")
