"""`appid-manager products`: the products, how many AppIDs each has, and how many wait for one."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InvalidRequest
from ..wire.api import ServiceApi
from .connection import ask, open_api
from .entries import FREE, Entry, by_product, entries_of, seconds_of, state_of
from .exits import ExitCode
from .output import format_table, format_time, write_json, write_line

_HEADINGS = ("PRODUCT", "TOTAL", "FREE", "TAKEN", "WAITING", "NEXT")


def products(arguments: argparse.Namespace) -> int:
    """Show all products."""
    api = open_api(arguments)
    ask(api.health)
    body = _from_products(api) or _from_status(api)
    if arguments.json:
        write_json(body)
    elif body["products"]:
        write_line(format_table(_HEADINGS, [_row(product) for product in body["products"]]))
    else:
        write_line("no products: none was initialized yet")
    return ExitCode.OK


def _from_products(api: ServiceApi) -> dict[str, Any] | None:
    """The service's own answer; `None` where it doesn't have that call."""
    if not api.extended:
        return None
    try:
        return ask(api.products_body)
    except InvalidRequest as error:
        if error.status == 404:
            return None
        raise


def _from_status(api: ServiceApi) -> dict[str, Any]:
    """The same from a status: there nobody waits in line."""
    entries = entries_of(ask(api.status_body), api.base_url, None)
    end = hour_end_ms(api, entries)
    return {
        "products": [_count(name, those, end) for name, those in by_product(entries).items()],
        "serverTime": round(api.clock.now() * 1000),
        "hourEnd": end,
    }


def _count(name: str, entries: list[Entry], hour_end: int | None) -> dict[str, object]:
    free = sum(state_of(entry) == FREE for entry in entries)
    return {
        "productName": name,
        "total": len(entries),
        "available": free,
        "in_use": len(entries) - free,
        "waiting": 0,
        "next": None if free else hour_end,
    }


def hour_end_ms(api: ServiceApi, entries: list[Entry]) -> int | None:
    """When the service's hour ends, in milliseconds since the Unix epoch; `None` if unknown.

    Field services name the hour only in the entries of a status.
    """
    end = api.clock.hour_end()
    if end is not None:
        return round(end * 1000)
    start = seconds_of(entries[0], "current_hour") if entries else None
    return None if start is None else round((start + api.clock.hour_length) * 1000)


def _row(product: Entry) -> list[object]:
    available = product.get("available")
    return [
        product.get("productName"),
        product.get("total"),
        available,
        product.get("in_use"),
        product.get("waiting"),
        "now" if available else format_time(seconds_of(product, "next")),
    ]
