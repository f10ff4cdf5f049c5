"""The answers to queries: what the status, the history and the line list, as JSON."""

from __future__ import annotations

from typing import Any

from ..records import (
    Act,
    AppIdEntry,
    History,
    LeaseRecord,
    Line,
    PauseRecord,
    ProductCounts,
    Products,
    Status,
    Waiter,
)
from .answers import Reply, as_json, as_json_with


def status(found: Status) -> Reply:
    """The answer to `GET /api/appid/status`."""
    body: dict[str, Any] = {}
    if found.total is not None and found.available is not None:
        body = {
            "total": found.total,
            "available": found.available,
            "in_use": found.total - found.available,
            "released": 0,
        }
    if found.product is not None:
        body["productName"] = found.product
        body |= _paused(found.paused)
    if found.next is not None:
        body["next"] = found.next
    if found.appids is None:
        return as_json(body)
    entries = (_entry(entry, found.hour_start) for entry in found.appids)
    return as_json_with(body, "appids", entries)


def products(found: Products) -> Reply:
    """The answer to `GET /api/appid/products`."""
    counts = [_counts(product) for product in found.products]
    return as_json({"products": counts, "serverTime": found.now, "hourEnd": found.hour_end})


def line(found: Line) -> Reply:
    """The answer to `GET /api/appid/line`."""
    body: dict[str, Any] = {
        "productName": found.product,
        "line": [_waiter(waiter) for waiter in found.waiters],
        "waiting": found.waiting,
        "serverTime": found.now,
        "hourEnd": found.hour_end,
    }
    if found.next is not None:
        body["next"] = found.next
    return as_json(body)


def history(found: History, *, with_ids: bool) -> Reply:
    """The answer to `GET /api/appid/history`; `with_ids`: the caller may see the ids of leases."""
    return as_json(
        {
            "leases": [_lease(lease, with_id=with_ids) for lease in found.leases],
            "acts": [_act(act, with_id=with_ids) for act in found.acts],
            "serverTime": found.now,
        }
    )


def _entry(entry: AppIdEntry, hour_start: int) -> dict[str, Any]:
    body = {
        "appid": entry.appid,
        "vid": entry.vid,
        "productName": entry.product,
        "starttime": entry.start,
        "stoptime": entry.stop,
        "status": entry.state,
        "is_available": entry.state == "available",
        "stoptime_hour": entry.stop_hour,
        "current_hour": hour_start,
        "fence": entry.fence,
    }
    if entry.state == "in_use":
        body["holder"] = entry.holder
        body["expiresAt"] = entry.expires
    if entry.reserved:
        body["reserved"] = True
        body["note"] = entry.note
    return body


def _counts(product: ProductCounts) -> dict[str, Any]:
    return {
        "productName": product.product,
        "total": product.total,
        "available": product.available,
        "in_use": product.total - product.available,
        "waiting": product.waiting,
        "next": product.next,
        **_paused(product.paused),
    }


def _paused(record: PauseRecord | None) -> dict[str, Any]:
    """What a product's counts say of its pause; nothing if there is none."""
    if record is None:
        return {}
    return {"paused": True, "pausedSince": record.since, "pauseNote": record.note}


def _waiter(waiter: Waiter) -> dict[str, Any]:
    return {
        "place": waiter.place,
        "holder": waiter.holder,
        "since": waiter.since,
        "heard": waiter.heard,
        "forced": waiter.forced,
        "due": waiter.due,
    }


def _lease(lease: LeaseRecord, *, with_id: bool) -> dict[str, Any]:
    return {
        "leaseId": lease.lease_id if with_id else None,
        "appid": lease.appid,
        "vid": lease.vid,
        "productName": lease.product,
        "holder": lease.holder,
        "starttime": lease.start,
        "stoptime": lease.stop,
        "ended": lease.ended,
        "expiresAt": lease.expires,
        "fence": lease.fence,
        "token": lease.token,
        "endedBy": lease.ended_by,
    }


def _act(act: Act, *, with_id: bool) -> dict[str, Any]:
    return {
        "at": act.at,
        "act": act.kind,
        "productName": act.product,
        "appid": act.appid,
        "leaseId": act.lease_id if with_id else None,
        "token": act.token,
        "by": act.said_by,
        "note": act.note,
    }
