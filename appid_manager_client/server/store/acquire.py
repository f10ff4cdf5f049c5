"""How the next AppID is chosen and granted. The acquires of a batch share its statements.

AppIDs that were never used come first, in the order given at init, then the least recently used.
The index `ix_appids_next` is in that order, so the cost of a grant doesn't depend on how many
AppIDs there are.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import bindparam, select

from ..operations import (
    Abandon,
    Acquire,
    Exhausted,
    Granted,
    Operation,
    Outcome,
    Refused,
    Unavailable,
)
from .contract import Asked, DoAgain, Wanted
from .request_ids import find_requests
from .tables import appids, decode_vid
from .transaction import Transaction


def acquire(
    transaction: Transaction, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> None:
    """Carry out all of `operations`, and put their outcomes into `outcomes`."""
    known: dict[str, Any] = {}
    if transaction.repeats or any(isinstance(done, Abandon) for done in outcomes):
        known = find_requests(transaction, (op.request_id for op in operations if op.request_id))
    new, repeats = _answer_known_requests(transaction, operations, known, outcomes)
    # Those without force go first: the forced ones have more AppIDs to choose from.
    for force in (False, True):
        _grant(transaction, force, [op for op in new if op.force is force], outcomes)
    for operation, first in repeats:
        if operation.product == first.product:
            outcomes[operation] = outcomes[first]
        else:
            outcomes[operation] = _other_product(first.product)


def _answer_known_requests(
    transaction: Transaction,
    operations: list[Acquire],
    known: dict[str, Any],
    outcomes: dict[Operation, Outcome],
) -> tuple[list[Acquire], list[tuple[Acquire, Acquire]]]:
    """Answer the requests of earlier batches, which are `known`.

    Returns the new requests, and each repeat of one of them with the one that it repeats.
    """
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


_ALWAYS = 2**63 - 1


def _grant(
    transaction: Transaction,
    force: bool,
    operations: list[Acquire],
    outcomes: dict[Operation, Outcome],
) -> None:
    groups: dict[str, list[Acquire]] = {}
    for operation in operations:
        groups.setdefault(operation.product, []).append(operation)
    if not groups:
        return
    now, hour = transaction.now, transaction.hour
    before = _ALWAYS if force else hour.start
    asked = [
        Asked(product, before, [_wanted(operation, now) for operation in group])
        for product, group in groups.items()
    ]
    every = transaction.engine.take(transaction.connection, now, asked)
    for (product, group), (_, _, wanted), taken in zip(groups.items(), asked, every, strict=True):
        for operation, one, got in zip(group, wanted, taken, strict=False):
            outcomes[operation] = Granted(
                got.appid,
                decode_vid(got.vid),
                product,
                now,
                one.lease_id,
                one.expires,
                now,
                hour.end,
                got.fence,
            )
        left = group[len(taken) :]
        if left:
            outcome = _why_nothing(transaction, product, force, before, len(left))
            outcomes.update(dict.fromkeys(left, outcome))


def _wanted(operation: Acquire, now: int) -> Wanted:
    return Wanted(
        # Ids that grow with time are added at one end of their index, which keeps commits small.
        f"{now:012x}{secrets.token_hex(12)}",
        operation.request_id,
        operation.holder,
        operation.ttl_ms,
        None if operation.ttl_ms is None else now + operation.ttl_ms,
    )


_ANY_APPID = select(appids.c.id).where(appids.c.product == bindparam("of_product")).limit(1)
_FIRST_USE = (
    select(appids.c.last_stop)
    .where(appids.c.product == bindparam("of_product"))
    .order_by(appids.c.last_stop)
    .limit(1)
)
_FIRST_NOT_HELD = _FIRST_USE.where(appids.c.held.is_(False))
_FIRST_IN_USE = _FIRST_USE.where(appids.c.held.is_(True), appids.c.reserved.is_(False))
_ANY_FREE = _ANY_APPID.where(appids.c.held.is_(False), appids.c.last_stop < bindparam("before"))


def _why_nothing(
    transaction: Transaction, product: str, force: bool, before: int, missing: int
) -> Outcome:
    """Why no AppID can be granted, and when the next try can succeed.

    Raises:
        DoAgain: there are free ones, which another transaction has locked. What it does with them
            has to be waited for: callers would otherwise wait until the hour ends.
    """
    execute = transaction.connection.execute
    if execute(_ANY_APPID, {"of_product": product}).first() is None:
        return Refused(
            "product_not_found",
            f"no product {product!r} was ever initialized here: check its name, or initialize it",
        )
    if execute(_ANY_FREE, {"of_product": product, "before": before}).first() is not None:
        raise DoAgain(
            Unavailable("locked", "others are taking the last free AppIDs at this moment"),
            contended={(product, before): missing},
        )
    not_held = execute(_FIRST_NOT_HELD, {"of_product": product}).scalar()
    in_use = execute(_FIRST_IN_USE, {"of_product": product}).scalar()
    # An AppID is used until the hour of its last use ends, and one that is in use may be released
    # now; only force can have it before. A last use lies in the future if the clock was ahead.
    uses = [max(use, transaction.now) for use in (not_held, in_use) if use is not None]
    until = transaction.hours.at(min(uses, default=transaction.now)).end
    return Exhausted(
        "waiting" if not_held is None else "no_available",
        product,
        transaction.now if force else until,
        transaction.now,
        transaction.hour.end,
    )
