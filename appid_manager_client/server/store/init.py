"""How a product gets its AppIDs: replaced as a whole, or brought up to date without forgetting their use."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import bindparam, case, delete, insert, select, update

from ..operations import Init, Initialised, Outcome, Refused
from .tables import NEVER, appids, leases
from .transaction import Moment, chunks


def initialise(moment: Moment, operation: Init) -> Outcome:
    """Carry out `operation`, wholly or not at all."""
    conflict = _conflict(moment, operation)
    if conflict is not None:
        return conflict
    if operation.keep_state:
        return _update(moment, operation)
    return _replace(moment, operation)


def _conflict(moment: Moment, operation: Init) -> Refused | None:
    for names in chunks(operation.appids):
        row = moment.connection.execute(
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


def _replace(moment: Moment, operation: Init) -> Initialised:
    execute = moment.connection.execute
    mine = appids.c.product == operation.product
    now = moment.now
    execute(
        update(leases)
        .where(leases.c.stop.is_(None), leases.c.appid.in_(select(appids.c.appid).where(mine)))
        .values(stop=case((leases.c.start > now, leases.c.start), else_=now), ended="reset")
    )
    removed = execute(delete(appids).where(mine)).rowcount
    _add(moment, operation, list(operation.appids))
    return Initialised(operation.product, removed, len(operation.appids))


_BRING_UP_TO_DATE = (
    update(appids)
    .where(appids.c.id == bindparam("row"))
    .values(vid=bindparam("new_vid"), position=bindparam("place"), retired=False)
)


def _update(moment: Moment, operation: Init) -> Initialised:
    execute = moment.connection.execute
    query = select(appids).where(appids.c.product == operation.product).with_for_update()
    present = {row.appid: row for row in execute(query)}
    changed: list[dict[str, Any]] = []
    back = 0
    for position, (name, vid) in enumerate(operation.appids.items()):
        row = present.get(name)
        if row is None:
            continue
        encoded = json.dumps(vid)
        back += row.retired
        if (row.vid, row.position, row.retired) != (encoded, position, False):
            changed.append({"row": row.id, "new_vid": encoded, "place": position})
    if changed:
        execute(_BRING_UP_TO_DATE, changed)
    gone = [row for name, row in present.items() if name not in operation.appids]
    for rows in chunks(row.id for row in gone if not row.held):
        execute(delete(appids).where(appids.c.id.in_(rows)))
    for rows in chunks(row.id for row in gone if row.held):
        # Its holder keeps it; it goes when it is released.
        execute(update(appids).where(appids.c.id.in_(rows)).values(retired=True))
    new = [name for name in operation.appids if name not in present]
    _add(moment, operation, new)
    removed = sum(not row.retired for row in gone)
    return Initialised(operation.product, removed, len(new) + back)


def _add(moment: Moment, operation: Init, names: list[str]) -> None:
    places = {name: position for position, name in enumerate(operation.appids)}
    rows = [
        {
            "appid": name,
            "product": operation.product,
            "vid": json.dumps(operation.appids[name]),
            "position": places[name],
            "held": False,
            "retired": False,
            "last_stop": NEVER,
        }
        for name in names
    ]
    if rows:
        moment.connection.execute(insert(appids), rows)
