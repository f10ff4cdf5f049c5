"""How AppIDs are chosen and granted, and when the next one can be where there is none.

AppIDs that were never used come first, in the order given at init, then the least recently used.
The index `ix_appids_next` is in that order, so the cost of a grant doesn't depend on how many
AppIDs there are. Who is granted is decided before.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import bindparam, select

from ..operations import Acquire, Exhausted, Granted, Operation, Outcome, Refused, Unavailable
from .contract import Asked, DoAgain, Wanted
from .tables import NEVER, appids, decode_vid
from .transaction import Transaction

ALWAYS = 2**63 - 1
"""Later than every last use."""


def grant(
    transaction: Transaction,
    groups: Mapping[str, Sequence[Acquire]],
    outcomes: dict[Operation, Outcome],
    *,
    before: int,
    since: int = NEVER,
) -> dict[str, Sequence[Acquire]]:
    """Grant the next AppIDs of each product that were last used before and not `since` a time.

    Returns those for whom there is none, by product.
    """
    if not groups:
        return {}
    now, hour = transaction.now, transaction.hour
    asked = [
        Asked(product, before, since, [_wanted(operation, now) for operation in group])
        for product, group in groups.items()
    ]
    every = transaction.engine.take(transaction.connection, now, asked)
    left: dict[str, Sequence[Acquire]] = {}
    for (product, group), one_product, taken in zip(groups.items(), asked, every, strict=True):
        for operation, one, got in zip(group, one_product.wanted, taken, strict=False):
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
        if len(taken) < len(group):
            left[product] = group[len(taken) :]
    return left


def _wanted(operation: Acquire, now: int) -> Wanted:
    return Wanted(
        # Ids that grow with time are added at one end of their index, which keeps commits small.
        f"{now:012x}{secrets.token_hex(12)}",
        operation.request_id,
        operation.holder,
        operation.ttl_ms,
        None if operation.ttl_ms is None else now + operation.ttl_ms,
        operation.token,
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


def unknown_product(transaction: Transaction, product: str) -> Refused | None:
    """The refusal of a product that has no AppIDs; `None` if it has some."""
    found = transaction.connection.execute(_ANY_APPID, {"of_product": product}).first()
    if found is not None:
        return None
    return Refused(
        "product_not_found",
        f"no product {product!r} was ever initialized here: check its name, or initialize it",
    )


def locked_by_others(product: str, before: int, missing: int) -> DoAgain:
    """What to raise where there are free AppIDs, which another transaction has locked.

    What it does with them has to be waited for: callers would otherwise wait until the hour ends.
    """
    return DoAgain(
        Unavailable("locked", "others are taking the last free AppIDs at this moment"),
        contended={(product, before): missing},
    )


class Next(NamedTuple):
    """Why there is no AppID, and when the next one can be free to all."""

    reason: Literal["waiting", "no_available"]
    free_at: int


def find_next(transaction: Transaction, product: str) -> Next:
    """When the next AppID can be free to all, where none is now."""
    execute = transaction.connection.execute
    not_held = execute(_FIRST_NOT_HELD, {"of_product": product}).scalar()
    in_use = execute(_FIRST_IN_USE, {"of_product": product}).scalar()
    # An AppID is used until the hour of its last use ends, and one that is in use may be released
    # now; only force can have it before. A last use lies in the future if the clock was ahead.
    uses = [max(use, transaction.now) for use in (not_held, in_use) if use is not None]
    until = transaction.hours.at(min(uses, default=transaction.now)).end
    return Next("waiting" if not_held is None else "no_available", until)


def why_nothing(
    transaction: Transaction, product: str, force: bool, before: int, missing: int
) -> Outcome:
    """Why no AppID can be granted, where nobody waits in line for one.

    Raises:
        DoAgain: others have locked what is free.
    """
    refused = unknown_product(transaction, product)
    if refused is not None:
        return refused
    any_free = transaction.connection.execute(
        _ANY_FREE, {"of_product": product, "before": before}
    ).first()
    if any_free is not None:
        raise locked_by_others(product, before, missing)
    reason, free_at = find_next(transaction, product)
    return Exhausted(
        reason,
        product,
        transaction.now if force else free_at,
        transaction.now,
        transaction.hour.end,
    )
