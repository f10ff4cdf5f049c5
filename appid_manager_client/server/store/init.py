"""How a product gets its AppIDs: all of them replaced, or updated without forgetting their use.

Either way, an AppID that stays and is reserved stays reserved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import bindparam, case, select, update

from ..operations import Init, Initialized, Outcome, Refused
from .acts import note_act
from .contract import NewAppId
from .fences import fence_floor, remove_appids
from .tables import appids, encode_vid, leases
from .transaction import Transaction, chunks


def initialize(transaction: Transaction, operation: Init) -> Outcome:
    """Carry out `operation`, wholly or not at all."""
    conflict = _conflict(transaction, operation)
    if conflict is not None:
        return conflict
    change = _update if operation.keep_state else _replace
    done = change(transaction, operation)
    note_act(
        transaction,
        "init",
        operation.product,
        operation.by,
        note=f"{done.added} AppIDs added, {done.removed} removed, {done.ended} live leases ended",
    )
    return done


def _conflict(transaction: Transaction, operation: Init) -> Refused | None:
    found = transaction.engine.find_in_others(
        transaction.connection, operation.product, operation.appids
    )
    if found is None:
        return None
    appid, product = found
    return Refused(
        "appid_conflict",
        f"AppID {appid!r} belongs to the product {product!r}; nothing was changed",
    )


def _replace(transaction: Transaction, operation: Init) -> Initialized:
    execute = transaction.connection.execute
    of_product = appids.c.product == operation.product
    now = transaction.now
    ended = execute(
        update(leases)
        .where(
            leases.c.stop.is_(None), leases.c.appid.in_(select(appids.c.appid).where(of_product))
        )
        .values(
            stop=case((leases.c.start > now, leases.c.start), else_=now),
            ended="reset",
            ended_by=operation.by.token,
        )
    ).rowcount
    query = select(appids.c.appid, appids.c.note).where(of_product, appids.c.reserved)
    reserved = {row.appid: row.note for row in execute(query.with_for_update())}
    removed = remove_appids(transaction, of_product)
    positions = {name: position for position, name in enumerate(operation.appids)}
    _add(transaction, operation, positions, reserved)
    return Initialized(operation.product, removed, len(operation.appids), ended)


_AT_ONCE = 1_000  # rows

_PRESENT = select(
    appids.c.id,
    appids.c.appid,
    appids.c.vid,
    appids.c.position,
    appids.c.held,
    appids.c.retired,
).where(appids.c.product == bindparam("of_product"))
_UPDATE_APPID = (
    update(appids)
    .where(appids.c.id == bindparam("row"))
    .values(vid=bindparam("new_vid"), position=bindparam("place"), retired=False)
)


def _update(transaction: Transaction, operation: Init) -> Initialized:
    """Write what differs, and no more."""
    execute = transaction.connection.execute
    # What is left of them in the end is new.
    positions = {name: position for position, name in enumerate(operation.appids)}
    changed: list[dict[str, Any]] = []
    gone: list[Any] = []
    taken_back = 0
    for row in _present(transaction, operation.product):
        position = positions.pop(row.appid, None)
        if position is None:
            gone.append(row)
            continue
        encoded = encode_vid(operation.appids[row.appid])
        taken_back += row.retired
        if (row.vid, row.position, row.retired) != (encoded, position, False):
            changed.append({"row": row.id, "new_vid": encoded, "place": position})
    if changed:
        execute(_UPDATE_APPID, changed)
    # A reserved one is held without a lease.
    in_use = _in_use(transaction, [row.appid for row in gone if row.held])
    for rows in chunks(row.id for row in gone if row.appid not in in_use):
        remove_appids(transaction, appids.c.id.in_(rows))
    for rows in chunks(row.id for row in gone if row.appid in in_use):
        # Its holder keeps it; it is deleted when it is released.
        execute(update(appids).where(appids.c.id.in_(rows)).values(retired=True))
    added = _add(transaction, operation, positions, {})
    removed = sum(not row.retired for row in gone)
    return Initialized(operation.product, removed, added + taken_back)


def _present(transaction: Transaction, product: str) -> Iterator[Any]:
    """The product's AppIDs, without having all of them in memory at once."""
    found = transaction.connection.execute(
        _PRESENT,
        {"of_product": product},
        execution_options={"stream_results": True, "yield_per": _AT_ONCE},
    )
    yield from found


def _in_use(transaction: Transaction, names: list[str]) -> set[str]:
    """Those of the AppIDs that somebody has now."""
    live = select(leases.c.appid).where(leases.c.stop.is_(None))
    found: set[str] = set()
    for some in chunks(names):
        found.update(transaction.connection.execute(live.where(leases.c.appid.in_(some))).scalars())
    return found


def _add(
    transaction: Transaction,
    operation: Init,
    positions: Mapping[str, int],
    reserved: Mapping[str, str | None],
) -> int:
    """Add AppIDs, each at its position; none of them was ever used. Returns how many.

    `reserved` has the notes of those that stay reserved.
    """
    fence = fence_floor(transaction)
    rows = (
        NewAppId(
            appid=name,
            product=operation.product,
            vid=encode_vid(operation.appids[name]),
            position=position,
            held=name in reserved,
            fence=fence,
            reserved=name in reserved,
            note=reserved.get(name),
        )
        for name, position in positions.items()
    )
    return transaction.engine.add_appids(transaction.connection, rows)
