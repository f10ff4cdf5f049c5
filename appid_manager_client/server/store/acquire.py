"""Acquires: repeated requests, those that concern the line, and all others.

The acquires of a batch share its statements. What is granted is chosen in `granting`, to whom
where somebody waits, in `in_line`.
"""

from __future__ import annotations

from typing import Any

from ..operations import Abandon, Acquire, Granted, Operation, Outcome, Refused
from . import in_line
from .doubt import is_in_doubt, settle
from .granting import ALWAYS, grant, why_nothing
from .pausing import answer_paused
from .request_ids import find_requests
from .tables import decode_vid
from .transaction import Transaction


def acquire(
    transaction: Transaction, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> None:
    """Carry out all of `operations`, and put their outcomes into `outcomes`."""
    known: dict[str, Any] = {}
    if transaction.repeats or any(isinstance(done, Abandon) for done in outcomes):
        known = find_requests(transaction, (op.request_id for op in operations if op.request_id))
    new, repeats = _answer_known_requests(transaction, operations, known, outcomes)
    rest = in_line.serve(transaction, new, outcomes)
    for operation in rest:
        if operation.product in transaction.paused:
            outcomes[operation] = answer_paused(transaction, operation)
    _grant(transaction, [one for one in rest if one not in outcomes], outcomes)
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
    in_doubt: list[int] = []
    for operation in operations:
        request_id = operation.request_id
        if request_id is None:
            new.append(operation)
        elif request_id in known:
            outcome = _answer_again(transaction, operation, known[request_id])
            if isinstance(outcome, Granted) and is_in_doubt(known[request_id]):
                in_doubt.append(known[request_id].id)
            outcomes[operation] = outcome
        elif request_id in first:
            repeats.append((operation, first[request_id]))
        else:
            first[request_id] = operation
            new.append(operation)
    settle(transaction, in_doubt)
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
        None if lease.ttl is None else lease.expires,
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


def _grant(
    transaction: Transaction, operations: list[Acquire], outcomes: dict[Operation, Outcome]
) -> None:
    """Grant what is free, first come, first served: nobody waits in line."""
    # Those without force go first: the forced ones have more AppIDs to choose from.
    for force in (False, True):
        groups: dict[str, list[Acquire]] = {}
        for operation in operations:
            if operation.force is force:
                groups.setdefault(operation.product, []).append(operation)
        before = ALWAYS if force else transaction.hour.start
        for product, left in grant(transaction, groups, outcomes, before=before).items():
            outcome = why_nothing(transaction, product, force, before, len(left))
            outcomes.update(dict.fromkeys(left, outcome))
