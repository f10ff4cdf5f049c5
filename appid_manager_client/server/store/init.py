"""How a product gets its AppIDs: all of them replaced, or updated without forgetting their use.

Either way, an AppID that stays and is reserved stays reserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, case, insert, select, update

from ..operations import Init, Initialized, Outcome, Refused
from .fences import fence_floor, remove_appids
from .tables import NEVER, appids, encode_vid, leases
from .transaction import Transaction, chunks


def initialize(transaction: Transaction, operation: Init) -> Outcome:
    """Carry out `operation`, wholly or not at all."""
    conflict = _conflict(transaction, operation)
    if conflict is not None:
        return conflict
    if operation.keep_state:
        return _update(transaction, operation)
    return _replace(transaction, operation)


def _conflict(transaction: Transaction, operation: Init) -> Refused | None:
    for names in chunks(operation.appids):
        row = transaction.connection.execute(
            select(appids.c.appid, appids.c.product)
            .where(appids.c.appid.in_(names), appids.c.product != operation.product)
            .limit(1)
        ).first()
        if row is not None:
            return Refused(
                "appid_conflict",
                f"AppID {row.appid!r} belongs to the product {row.product!r}; nothing was changed",
            )
    return None


def _replace(transaction: Transaction, operation: Init) -> Initialized:
    execute = transaction.connection.execute
    of_product = appids.c.product == operation.product
    now = transaction.now
    ended = execute(
        update(leases)
        .where(
            leases.c.stop.is_(None), leases.c.appid.in_(select(appids.c.appid).where(of_product))
        )
        .values(stop=case((leases.c.start > now, leases.c.start), else_=now), ended="reset")
    ).rowcount
    query = select(appids.c.appid, appids.c.note).where(of_product, appids.c.reserved)
    reserved = {row.appid: row.note for row in execute(query.with_for_update())}
    removed = remove_appids(transaction, of_product)
    _add(transaction, operation, list(operation.appids), reserved)
    return Initialized(operation.product, removed, len(operation.appids), ended)


_UPDATE_APPID = (
    update(appids)
    .where(appids.c.id == bindparam("row"))
    .values(vid=bindparam("new_vid"), position=bindparam("place"), retired=False)
)


def _update(transaction: Transaction, operation: Init) -> Initialized:
    execute = transaction.connection.execute
    query = select(appids).where(appids.c.product == operation.product)
    present = {row.appid: row for row in execute(query)}
    changed: list[dict[str, Any]] = []
    taken_back = 0
    for position, (name, vid) in enumerate(operation.appids.items()):
        row = present.get(name)
        if row is None:
            continue
        encoded = encode_vid(vid)
        taken_back += row.retired
        if (row.vid, row.position, row.retired) != (encoded, position, False):
            changed.append({"row": row.id, "new_vid": encoded, "place": position})
    if changed:
        execute(_UPDATE_APPID, changed)
    gone = [row for name, row in present.items() if name not in operation.appids]
    # A reserved one is held without a lease.
    in_use = _in_use(transaction, [row.appid for row in gone if row.held])
    for rows in chunks(row.id for row in gone if row.appid not in in_use):
        remove_appids(transaction, appids.c.id.in_(rows))
    for rows in chunks(row.id for row in gone if row.appid in in_use):
        # Its holder keeps it; it is deleted when it is released.
        execute(update(appids).where(appids.c.id.in_(rows)).values(retired=True))
    new = [name for name in operation.appids if name not in present]
    _add(transaction, operation, new, {})
    removed = sum(not row.retired for row in gone)
    return Initialized(operation.product, removed, len(new) + taken_back)


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
    names: list[str],
    reserved: Mapping[str, str | None],
) -> None:
    """Add AppIDs that were never used; `reserved` has the notes of those that stay reserved."""
    positions = {name: position for position, name in enumerate(operation.appids)}
    fence = fence_floor(transaction)
    rows = [
        {
            "appid": name,
            "product": operation.product,
            "vid": encode_vid(operation.appids[name]),
            "position": positions[name],
            "held": name in reserved,
            "retired": False,
            "last_stop": NEVER,
            "fence": fence,
            "reserved": name in reserved,
            "note": reserved.get(name),
        }
        for name in names
    ]
    if rows:
        transaction.connection.execute(insert(appids), rows)
