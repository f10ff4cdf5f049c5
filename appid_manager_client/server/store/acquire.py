"""How AppIDs are handed out: everything that waits for the same product shares one statement.

Least recently used first, never used ones before those, in the order given at init. The index of `appids` is in that
order, so the cost of a grant doesn't depend on how many AppIDs there are.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from ..operations import Acquire, Exhausted, Granted, Operation, Outcome, Refused
from .requests import find_requests
from .tables import appids, leases
from .transaction import Moment


def acquire(moment: Moment, operations: list[Acquire], outcomes: dict[Operation, Outcome]) -> None:
    """Answer all of `operations` into `outcomes`."""
    fresh, repeats = _sort_out(moment, operations, outcomes)
    groups: dict[tuple[str, bool], list[Acquire]] = {}
    for operation in fresh:
        groups.setdefault((operation.product, operation.force), []).append(operation)
    # Those who take only what is free go first: a forced one has more to choose from.
    for product, force in sorted(groups, key=lambda group: group[1]):
        _hand_out(moment, product, force, groups[product, force], outcomes)
    for operation, first in repeats:
        if operation.product == first.product:
            outcomes[operation] = outcomes[first]
        else:
            outcomes[operation] = _other_product(first.product)


_free = appids.alias("free")
_next = (
    select(_free.c.id)
    .where(_free.c.product == bindparam("of_product"), _free.c.held.is_(False))
    .where(_free.c.last_stop < bindparam("before"))
    .order_by(_free.c.last_stop, _free.c.position)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(appids)
    .where(appids.c.id.in_(_next))
    .values(held=True, last_start=bindparam("now"))
    .returning(appids.c.last_stop, appids.c.position, appids.c.appid, appids.c.vid)
)
_RECORD = insert(leases)
_ALWAYS = 2**63 - 1


def _hand_out(
    moment: Moment,
    product: str,
    force: bool,
    operations: list[Acquire],
    outcomes: dict[Operation, Outcome],
) -> None:
    now = moment.now
    taken = moment.connection.execute(
        _TAKE,
        {
            "of_product": product,
            "before": _ALWAYS if force else moment.hour.start,
            "count": len(operations),
            "now": now,
        },
    ).all()
    records: list[dict[str, Any]] = []
    # The order of returned rows is the database's own.
    for operation, (_, _, appid, vid) in zip(operations, sorted(taken, key=_order), strict=False):
        # Ids that grow with time keep the index's growth in one place, and a commit small.
        lease_id = f"{now:012x}{secrets.token_hex(12)}"
        expires = None if operation.ttl_ms is None else now + operation.ttl_ms
        records.append(
            {
                "lease_id": lease_id,
                "request_id": operation.request_id,
                "product": product,
                "appid": appid,
                "vid": vid,
                "holder": operation.holder,
                "start": now,
                "ttl": operation.ttl_ms,
                "expires": expires,
            }
        )
        outcomes[operation] = Granted(
            appid, json.loads(vid), product, now, lease_id, expires, now, moment.hour.end
        )
    if records:
        moment.connection.execute(_RECORD, records)
    if len(taken) < len(operations):
        nothing = _explain(moment, product, force)
        for operation in operations[len(taken) :]:
            outcomes[operation] = nothing


def _order(row: Any) -> tuple[int, int]:
    return row[0], row[1]


_KNOWN = select(appids.c.id).where(appids.c.product == bindparam("of_product")).limit(1)
_UNHELD = _KNOWN.where(appids.c.held.is_(False))


def _explain(moment: Moment, product: str, force: bool) -> Outcome:
    """Why there is no AppID, and when the next try can succeed."""
    execute = moment.connection.execute
    if execute(_KNOWN, {"of_product": product}).first() is None:
        return Refused(
            "product_not_found",
            f"no product {product!r} was ever initialised here: check its name, or initialise it",
        )
    unheld = execute(_UNHELD, {"of_product": product}).first() is not None
    # What is given back in this hour is used until the hour ends; only force can have it before.
    return Exhausted(
        "no_available" if unheld else "waiting",
        product,
        moment.now if force else moment.hour.end,
        moment.now,
        moment.hour.end,
    )


def _sort_out(
    moment: Moment, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> tuple[list[Acquire], list[tuple[Acquire, Acquire]]]:
    """Answer the requests that were seen before; return the new ones, and repeats of those in the same batch."""
    known = find_requests(moment, (op.request_id for op in operations if op.request_id))
    fresh: list[Acquire] = []
    repeats: list[tuple[Acquire, Acquire]] = []
    first: dict[str, Acquire] = {}
    for operation in operations:
        request_id = operation.request_id
        if request_id is None:
            fresh.append(operation)
        elif request_id in known:
            outcomes[operation] = _answer_again(moment, operation, known[request_id])
        elif request_id in first:
            repeats.append((operation, first[request_id]))
        else:
            first[request_id] = operation
            fresh.append(operation)
    return fresh, repeats


def _answer_again(moment: Moment, operation: Acquire, lease: Any) -> Outcome:
    if lease.product != operation.product:
        return _other_product(lease.product)
    if lease.ended == "abandoned":
        return Refused("request_abandoned", "this request was given up before it got an AppID")
    if lease.stop is not None:
        return Refused("request_ended", f"the lease that this request got has ended: {lease.ended}")
    return Granted(
        lease.appid,
        json.loads(lease.vid),
        lease.product,
        lease.start,
        lease.lease_id,
        lease.expires,
        moment.now,
        moment.hour.end,
    )


def _other_product(product: str) -> Refused:
    return Refused(
        "invalid_request",
        f"requestId: this id was used before, for the product {product!r}; every acquire needs an id of its own",
        "requestId",
    )
