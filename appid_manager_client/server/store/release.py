"""How AppIDs come back: by name, by lease, or by the id of a request whose answer was lost; and how leases live on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, insert, select, update

from ..operations import Abandon, Heartbeat, Operation, Outcome, Refused, Release, Released, Renewed
from .endings import Ending, end_leases
from .requests import find_requests
from .tables import NEVER, appids, leases
from .transaction import Moment, chunks

_HELD_BY = (
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
    .with_for_update(of=appids)
)


def release(
    moment: Moment, operations: list[Release | Abandon], outcomes: dict[Operation, Outcome]
) -> None:
    """Answer all of `operations` into `outcomes`. The first of two releases of one AppID is the one that counts."""
    wanted: list[tuple[Operation, Release]] = []
    abandons = [op for op in operations if isinstance(op, Abandon)]
    requests = find_requests(moment, (op.request_id for op in abandons))
    for operation in operations:
        if isinstance(operation, Release):
            wanted.append((operation, operation))
        else:
            found = _abandon(moment, operation, requests, outcomes)
            if found is not None:
                wanted.append((operation, found))
    _take_back(moment, wanted, outcomes)


def _take_back(
    moment: Moment, wanted: list[tuple[Operation, Release]], outcomes: dict[Operation, Outcome]
) -> None:
    rows: dict[str, Any] = {}
    for names in chunks({what.appid for _, what in wanted}):
        for found in moment.connection.execute(_HELD_BY, {"names": names}):
            rows[found.appid] = found
    endings: dict[str, Ending] = {}
    for operation, what in wanted:
        row: Any = rows.get(what.appid)
        refusal = _refuse(what, row, ended=what.appid in endings)
        if refusal is not None:
            repeated = isinstance(operation, Abandon) and what.appid in endings
            outcomes[operation] = (
                Released(what.product, what.appid, moment.now) if repeated else refusal
            )
            continue
        stop = max(moment.now, row.start)
        endings[what.appid] = Ending(
            row.lease_row, row.id, row.retired, stop, row.last_stop, "released"
        )
        outcomes[operation] = Released(what.product, what.appid, stop)
    end_leases(moment, list(endings.values()))


def _refuse(what: Release, row: Any, *, ended: bool) -> Refused | None:
    """Why this release can't be, or `None` when it can."""
    if row is None:
        return Refused("appid_not_found", f"there is no AppID {what.appid!r} here")
    if row.product != what.product:
        return Refused(
            "product_mismatch", f"AppID {what.appid!r} doesn't belong to product {what.product!r}"
        )
    held = row.lease_row is not None and not ended
    asked = what.lease_id is not None or what.request_id is not None
    if asked and not (
        held and what.lease_id in (None, row.lease_id) and what.request_id in (None, row.request_id)
    ):
        return Refused("lease_mismatch", f"that lease doesn't hold AppID {what.appid!r}")
    if held:
        return None
    if row.last_stop == NEVER and not ended:
        return Refused("not_leased", f"AppID {what.appid!r} was never acquired")
    return Refused("already_released", f"AppID {what.appid!r} was released already")


_TOMBSTONE = insert(leases)


def _abandon(
    moment: Moment,
    operation: Abandon,
    requests: dict[str, Any],
    outcomes: dict[Operation, Outcome],
) -> Release | None:
    """The release of what the request got, or `None` when all is said already."""
    lease = requests.get(operation.request_id)
    if lease is None:
        row = {
            "request_id": operation.request_id,
            "product": operation.product,
            "start": moment.now,
            "stop": moment.now,
            "ended": "abandoned",
        }
        moment.connection.execute(_TOMBSTONE, row)
        # Another one in this batch finds it too.
        requests.update(find_requests(moment, [operation.request_id]))
        outcomes[operation] = Released(operation.product, None, moment.now)
        return None
    if lease.product != operation.product:
        outcomes[operation] = Refused(
            "product_mismatch", f"that request was for the product {lease.product!r}"
        )
        return None
    if lease.stop is not None:
        outcomes[operation] = Released(operation.product, lease.appid, lease.stop)
        return None
    return Release(operation.product, lease.appid, request_id=operation.request_id)


_BEATING = (
    select(leases.c.lease_id, leases.c.id, leases.c.ttl, leases.c.expires)
    .where(leases.c.lease_id.in_(bindparam("ids", expanding=True)))
    .where(leases.c.stop.is_(None))
)
_EXTEND = update(leases).where(leases.c.id == bindparam("row")).values(expires=bindparam("until"))


def renew(moment: Moment, operations: list[Heartbeat], outcomes: dict[Operation, Outcome]) -> None:
    """Answer all heartbeats into `outcomes`. One that came in time counts, however long it had to wait for its turn."""
    live: dict[str, Any] = {}
    for ids in chunks({lease_id for op in operations for lease_id in op.lease_ids}):
        for found in moment.connection.execute(_BEATING, {"ids": ids}):
            live[found.lease_id] = found
    extended: dict[int, int] = {}
    for operation in operations:
        answer = Renewed()
        for lease_id in dict.fromkeys(operation.lease_ids):
            row: Any = live.get(lease_id)
            if row is None or not _in_time(row, operation, extended):
                answer.lost.append(lease_id)
            elif row.ttl is None:
                answer.renewed[lease_id] = None
            else:
                extended[row.id] = answer.renewed[lease_id] = moment.now + row.ttl
        outcomes[operation] = answer
    if extended:
        moment.connection.execute(
            _EXTEND, [{"row": row, "until": until} for row, until in extended.items()]
        )


def _in_time(row: Any, operation: Heartbeat, extended: dict[int, int]) -> bool:
    return row.expires is None or row.id in extended or row.expires > operation.received
