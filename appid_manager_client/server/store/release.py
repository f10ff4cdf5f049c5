"""How AppIDs are released: by name, by lease, or by a request whose answer was lost."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, insert, select

from ..operations import Abandon, Operation, Outcome, Refused, Release, Released
from .acts import note_act
from .endings import Ending, end_leases
from .request_ids import find_requests
from .tables import NEVER, appids, leases
from .transaction import Transaction, chunks


def release(
    transaction: Transaction,
    operations: list[Release | Abandon],
    outcomes: dict[Operation, Outcome],
) -> None:
    """Carry out all of `operations`, and put their outcomes into `outcomes`.

    Of two releases of one AppID the first one counts.
    """
    releases: list[tuple[Operation, Release]] = []
    abandons = [op for op in operations if isinstance(op, Abandon)]
    requests = find_requests(transaction, (op.request_id for op in abandons))
    for operation in operations:
        if isinstance(operation, Release):
            releases.append((operation, operation))
        else:
            of_its_grant = _abandon(transaction, operation, requests, outcomes)
            if of_its_grant is not None:
                releases.append((operation, of_its_grant))
    _release(transaction, releases, outcomes)


_ADD_ABANDONED = insert(leases)


def _abandon(
    transaction: Transaction,
    operation: Abandon,
    requests: dict[str, Any],
    outcomes: dict[Operation, Outcome],
) -> Release | None:
    """Return the release of what the request got; `None` if the outcome is known already."""
    lease = requests.get(operation.request_id)
    if lease is None:
        row = {
            "request_id": operation.request_id,
            "product": operation.product,
            "start": transaction.now,
            "stop": transaction.now,
            "ended": "abandoned",
        }
        transaction.connection.execute(_ADD_ABANDONED, row)
        # A second abandonment in this batch must find it.
        requests.update(find_requests(transaction, [operation.request_id]))
        outcomes[operation] = Released(operation.product, None, transaction.now)
        return None
    if lease.product != operation.product:
        outcomes[operation] = Refused(
            "product_mismatch", f"that request was for the product {lease.product!r}"
        )
        return None
    if lease.stop is not None:
        outcomes[operation] = Released(operation.product, lease.appid, lease.stop)
        return None
    return Release(operation.product, lease.appid, request_id=operation.request_id, by=operation.by)


_APPIDS_AND_LIVE_LEASES = (
    select(
        appids.c.id,
        appids.c.appid,
        appids.c.product,
        appids.c.retired,
        appids.c.last_stop,
        leases.c.id.label("lease_row"),
        leases.c.lease_id,
        leases.c.request_id,
        leases.c.start,
    )
    .outerjoin(leases, and_(leases.c.appid == appids.c.appid, leases.c.stop.is_(None)))
    .where(appids.c.appid.in_(bindparam("names", expanding=True)))
)


def _release(
    transaction: Transaction,
    releases: list[tuple[Operation, Release]],
    outcomes: dict[Operation, Outcome],
) -> None:
    """Carry out releases, each for the operation beside it."""
    rows: dict[str, Any] = {}
    for names in chunks({wanted.appid for _, wanted in releases}):
        for found in transaction.connection.execute(_APPIDS_AND_LIVE_LEASES, {"names": names}):
            rows[found.appid] = found
    endings: dict[str, Ending] = {}
    for operation, wanted in releases:
        row: Any = rows.get(wanted.appid)
        ended = wanted.appid in endings
        refusal = _refusal(wanted, row, ended=ended)
        if refusal is None:
            stop = max(transaction.now, row.start)
            endings[wanted.appid] = Ending(
                row.lease_row, row.id, row.retired, stop, row.last_stop, "released", wanted.by.token
            )
            if wanted.forced:
                note_act(
                    transaction,
                    "release",
                    wanted.product,
                    wanted.by,
                    appid=wanted.appid,
                    lease_id=row.lease_id,
                )
            outcomes[operation] = Released(wanted.product, wanted.appid, stop)
        elif isinstance(operation, Abandon) and ended:
            outcomes[operation] = Released(wanted.product, wanted.appid, transaction.now)
        else:
            outcomes[operation] = refusal
    end_leases(transaction, list(endings.values()))


def misnamed(product: str, appid: str, *, known: bool) -> Refused:
    """The refusal of an AppID that the product doesn't have; `known`: another one has it."""
    if known:
        return Refused("product_mismatch", f"AppID {appid!r} doesn't belong to product {product!r}")
    return Refused("appid_not_found", f"there is no AppID {appid!r} here")


def _refusal(wanted: Release, row: Any, *, ended: bool) -> Refused | None:
    """Why a release can't be carried out; `None` if it can.

    `ended`: an earlier release of the same batch has ended the lease that `row` shows.
    """
    if row is None or row.product != wanted.product:
        return misnamed(wanted.product, wanted.appid, known=row is not None)
    held = row.lease_row is not None and not ended
    names_lease = wanted.lease_id is not None or wanted.request_id is not None
    if names_lease and not (
        held
        and wanted.lease_id in (None, row.lease_id)
        and wanted.request_id in (None, row.request_id)
    ):
        return Refused("lease_mismatch", f"that lease doesn't hold AppID {wanted.appid!r}")
    if held:
        return None
    if row.last_stop == NEVER and not ended:
        return Refused("not_leased", f"AppID {wanted.appid!r} was never acquired")
    return Refused("already_released", f"AppID {wanted.appid!r} was released already")
