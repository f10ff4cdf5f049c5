"""How the next AppID is chosen and granted. Acquires of one product share one statement.

AppIDs that were never used come first, in the order given at init, then the least recently used.
The index `ix_appids_next` is in that order, so the cost of a grant doesn't depend on how many
AppIDs there are.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from ..operations import Acquire, Exhausted, Granted, Operation, Outcome, Refused
from .fences import NEXT_FENCE
from .request_ids import find_requests
from .tables import appids, decode_vid, leases
from .transaction import Transaction


def acquire(
    transaction: Transaction, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> None:
    """Carry out all of `operations`, and put their outcomes into `outcomes`."""
    new, repeats = _answer_known_requests(transaction, operations, outcomes)
    groups: dict[tuple[str, bool], list[Acquire]] = {}
    for operation in new:
        groups.setdefault((operation.product, operation.force), []).append(operation)
    # Those without force go first: the forced ones have more AppIDs to choose from.
    for product, force in sorted(groups, key=lambda group: group[1]):
        _grant(transaction, product, force, groups[product, force], outcomes)
    for operation, first in repeats:
        if operation.product == first.product:
            outcomes[operation] = outcomes[first]
        else:
            outcomes[operation] = _other_product(first.product)


def _answer_known_requests(
    transaction: Transaction, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> tuple[list[Acquire], list[tuple[Acquire, Acquire]]]:
    """Answer the requests of earlier batches.

    Returns the new requests, and each repeat of one of them with the one that it repeats.
    """
    known = find_requests(transaction, (op.request_id for op in operations if op.request_id))
    new: list[Acquire] = []
    repeats: list[tuple[Acquire, Acquire]] = []
    first: dict[str, Acquire] = {}
    for operation in operations:
        request_id = operation.request_id
        if request_id is None:
            new.append(operation)
        elif request_id in known:
            outcomes[operation] = _answer_again(transaction, operation, known[request_id])
        elif request_id in first:
            repeats.append((operation, first[request_id]))
        else:
            first[request_id] = operation
            new.append(operation)
    return new, repeats


def _answer_again(transaction: Transaction, operation: Acquire, lease: Any) -> Outcome:
    if lease.product != operation.product:
        return _other_product(lease.product)
    if lease.ended == "abandoned":
        return Refused("request_abandoned", "this request was given up before it got an AppID")
    if lease.stop is not None:
        return Refused("request_ended", f"the lease that this request got has ended: {lease.ended}")
    return Granted(
        lease.appid,
        decode_vid(lease.vid),
        lease.product,
        lease.start,
        lease.lease_id,
        lease.expires,
        transaction.now,
        transaction.hour.end,
        lease.fence,
    )


def _other_product(product: str) -> Refused:
    return Refused(
        "invalid_request",
        f"requestId: this id was used before, for the product {product!r}; "
        "every acquire needs an id of its own",
        "requestId",
    )


_free = appids.alias("free")
_next = (
    select(_free.c.id)
    .where(_free.c.product == bindparam("of_product"), _free.c.held.is_(False))
    .where(_free.c.last_stop < bindparam("before"))
    .order_by(_free.c.last_stop, _free.c.position)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_HOLD_NEXT = (
    update(appids)
    .where(appids.c.id.in_(_next))
    .values(held=True, last_start=bindparam("now"), fence=NEXT_FENCE)
    .returning(appids.c.last_stop, appids.c.position, appids.c.appid, appids.c.vid, appids.c.fence)
)
_ADD_LEASES = insert(leases)
_ALWAYS = 2**63 - 1


def _grant(
    transaction: Transaction,
    product: str,
    force: bool,
    operations: list[Acquire],
    outcomes: dict[Operation, Outcome],
) -> None:
    now = transaction.now
    held = transaction.connection.execute(
        _HOLD_NEXT,
        {
            "of_product": product,
            "before": _ALWAYS if force else transaction.hour.start,
            "count": len(operations),
            "now": now,
        },
    ).all()
    records: list[dict[str, Any]] = []
    # A database returns the rows in an order of its own.
    in_order = sorted(held, key=_order)
    for operation, (_, _, appid, vid, fence) in zip(operations, in_order, strict=False):
        # Ids that grow with time are added at one end of their index, which keeps commits small.
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
                "fence": fence,
            }
        )
        outcomes[operation] = Granted(
            appid,
            decode_vid(vid),
            product,
            now,
            lease_id,
            expires,
            now,
            transaction.hour.end,
            fence,
        )
    if records:
        transaction.connection.execute(_ADD_LEASES, records)
    if len(held) < len(operations):
        outcome = _why_nothing(transaction, product, force)
        for operation in operations[len(held) :]:
            outcomes[operation] = outcome


def _order(row: Any) -> tuple[int, int]:
    return row[0], row[1]


_ANY_APPID = select(appids.c.id).where(appids.c.product == bindparam("of_product")).limit(1)
_ANY_NOT_HELD = _ANY_APPID.where(appids.c.held.is_(False))


def _why_nothing(transaction: Transaction, product: str, force: bool) -> Outcome:
    """Why no AppID can be granted, and when the next try can succeed."""
    execute = transaction.connection.execute
    if execute(_ANY_APPID, {"of_product": product}).first() is None:
        return Refused(
            "product_not_found",
            f"no product {product!r} was ever initialized here: check its name, or initialize it",
        )
    not_held = execute(_ANY_NOT_HELD, {"of_product": product}).first() is not None
    # An AppID that is released in this hour is used until the hour ends; only force can have it
    # before.
    return Exhausted(
        "no_available" if not_held else "waiting",
        product,
        transaction.now if force else transaction.hour.end,
        transaction.now,
        transaction.hour.end,
    )
