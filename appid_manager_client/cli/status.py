"""`appid-manager status`: the AppIDs and their holders as a table, once or again and again."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import Any, NoReturn

from ..client import AppIdClient
from ..errors import ProductNotFound, ProtocolError, TransportError
from .connection import open_client
from .exits import ExitCode
from .output import format_table, format_time, printable, write_error, write_json, write_line

_STATES = {"available": "free", "released": "free", "in_use": "in use"}
_CLEAR_SCREEN = "\x1b[H\x1b[2J"

Entry = dict[str, Any]


def status(arguments: argparse.Namespace) -> int:
    """Show the AppIDs, once or, with `--watch`, until Ctrl-C."""
    with open_client(arguments) as client:
        if arguments.watch is not None:
            _watch(client, arguments)
        _show(client, arguments)
    return ExitCode.OK


def _watch(client: AppIdClient, arguments: argparse.Namespace) -> NoReturn:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    pause = threading.Event()  # nobody sets it
    while True:
        try:
            _show(client, arguments, clear=on_terminal)
        except TransportError as error:
            write_error(error)
        pause.wait(arguments.watch)


def _show(client: AppIdClient, arguments: argparse.Namespace, *, clear: bool = False) -> None:
    body = client.get_status(arguments.product)
    entries = _entries(body, client.base_url, arguments.product)
    if arguments.json:
        write_json(body)
        return
    text = _text(entries)
    if clear:
        text = f"{_CLEAR_SCREEN}{client.base_url}  {format_time(time.time())}\n\n{text}"
    write_line(text)


def _entries(body: dict[str, Any], service: str, product: str | None) -> list[Entry]:
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


def _text(entries: list[Entry]) -> str:
    if not entries:
        return "no AppIDs: no product was initialised yet"
    products: dict[str, list[Entry]] = {}
    for entry in entries:
        products.setdefault(str(entry.get("productName")), []).append(entry)
    return "\n\n".join(_product_text(name, those) for name, those in products.items())


def _product_text(product: str, entries: list[Entry]) -> str:
    states = [_state(entry) for entry in entries]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("free", "in use", "used this hour")
    )
    headings = ["APPID", "VID", "STATE", "ACQUIRED", "RELEASED"]
    rows = [
        [
            entry.get("appid"),
            entry.get("vid"),
            state,
            _time(entry, "starttime"),
            _time(entry, "stoptime"),
        ]
        for entry, state in zip(entries, states)
    ]
    if any(entry.get("holder") for entry in entries):  # field services have no holders
        headings.append("HOLDER")
        for row, entry in zip(rows, entries):
            row.append(entry.get("holder") or "-")
    return f"{printable(product)}: {len(entries)} AppIDs, {counts}\n{format_table(headings, rows)}"


def _state(entry: Entry) -> str:
    if entry.get("is_available") is True:
        return "free"
    return _STATES.get(str(entry.get("status")), "used this hour")


def _time(entry: Entry, name: str) -> str:
    value = entry.get(name)
    return format_time(value / 1000 if isinstance(value, (int, float)) else None)
