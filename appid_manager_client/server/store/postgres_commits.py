"""What became of a commit whose answer was lost, and of grants that nobody heard of.

To carry out such a batch again could grant twice, so PostgreSQL is asked what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from ..operations import Release
from . import postgres_sql as sql


@dataclass(slots=True)
class Batch:
    """What is known of a write transaction, in case the answer to its commit gets lost.

    Attributes:
        number: PostgreSQL's own, of the transaction.
        timeline: of the server; a number is good for one timeline.
        grants: what would release each grant, and whether its caller can ask for it again.
    """

    number: str
    timeline: str
    grants: list[tuple[Release, bool]] = field(default_factory=list)


class OpenBatches:
    """Batches of which nobody knows whether they were committed. Their callers were told so."""

    def __init__(self) -> None:
        self._open: list[Batch] = []
        self._forsaken: list[Release] = []

    def add(self, batch: Batch) -> None:
        """Remember a batch, to find out later what became of it."""
        self._open.append(batch)

    def settle(self, connection: Connection, timeline: str) -> None:
        """Find out what became of them, outside of a transaction.

        What was granted to callers that can't ask for it again is forsaken.
        """
        for batch in list(self._open):
            committed = fate(connection, timeline, batch)
            if committed is None and batch.timeline == timeline:
                continue  # it is still under way
            self._open.remove(batch)
            if committed:
                self._forsaken += [release for release, again in batch.grants if not again]

    def take_forsaken(self) -> list[Release]:
        """What has to be released. Each is returned once."""
        forsaken, self._forsaken = self._forsaken, []
        return forsaken


def fate(connection: Connection, timeline: str, batch: Batch) -> bool | None:
    """Whether a batch was committed; `None` if nobody can tell, or not yet.

    Args:
        connection: outside of a transaction.
        timeline: of the server that is asked.
        batch: the batch.
    """
    # SQLAlchemy begins by itself, and wants to hear the end.
    with connection.begin():
        return _fate(connection, timeline, batch)


def _fate(connection: Connection, timeline: str, batch: Batch) -> bool | None:
    status: str | None = None
    if timeline == batch.timeline:
        status = connection.exec_driver_sql(sql.FATE, {"number": batch.number}).scalar_one()
        if status == "in progress":
            return None
    if batch.grants:
        # Where a standby took over, the number may be that of another transaction.
        ids = [release.lease_id for release, _ in batch.grants]
        return connection.exec_driver_sql(sql.ANY_LEASE, {"lease_ids": ids}).first() is not None
    return None if status is None else status == "committed"
