"""The entries of a status as commands show them: which there are, and the state of each."""

from __future__ import annotations

from typing import Any

from ..errors import ProductNotFound, ProtocolError

FREE = "free"
IN_USE = "in use"
USED = "used this hour"
USED_LATER = "used in a later hour"
"""Its last use ended in the future: the service's clock was ahead then, and was set back."""
RESERVED = "reserved"
UNUSABLE = "unusable"
"""Released without having been acquired: a field service hands it out only by force (wire contract,
"Base")."""

_STATES = {"available": FREE, "released": FREE, "in_use": IN_USE, "reserved": RESERVED}

Entry = dict[str, Any]


def entries_of(body: dict[str, Any], service: str, product: str | None) -> list[Entry]:
    """The list of AppIDs in the body of a status.

    Raises:
        ProtocolError: there is none.
        ProductNotFound: it is empty, though a product was asked for.
    """
    entries = body.get("appids")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ProtocolError(f"{service} sent a status without a list of AppIDs", service=service)
    if product is not None and not entries:
        raise ProductNotFound(
            f"{service} knows no product {product!r}: check the name, or run init first",
            service=service,
            product_name=product,
        )
    return entries


def by_product(entries: list[Entry]) -> dict[str, list[Entry]]:
    """The entries of each product, in the order in which they came."""
    products: dict[str, list[Entry]] = {}
    for entry in entries:
        products.setdefault(str(entry.get("productName")), []).append(entry)
    return products


def state_of(entry: Entry) -> str:
    """Whether an AppID is free, and if not, why."""
    if entry.get("is_available") is True:
        return FREE
    if entry.get("starttime") is None and entry.get("stoptime") is not None:
        return UNUSABLE
    state = _STATES.get(str(entry.get("status")), USED)
    if state == USED:
        stopped, now = seconds_of(entry, "stoptime_hour"), seconds_of(entry, "current_hour")
        if stopped is not None and now is not None and stopped > now:
            return USED_LATER
    return state


def is_reserved(entry: Entry) -> bool:
    """Whether an AppID is reserved, or will be from its release on."""
    return entry.get("reserved") is True


def reservation(entry: Entry) -> str:
    """Why an AppID is reserved, for a cell of a table."""
    if not is_reserved(entry):
        return "-"
    note = entry.get("note") or "yes"
    return f"when released: {note}" if state_of(entry) == IN_USE else str(note)


def seconds_of(entry: Entry, name: str) -> float | None:
    """A time of an entry, in seconds since the Unix epoch; `None` where there is none."""
    value = entry.get(name)
    return value / 1000 if isinstance(value, (int, float)) else None
