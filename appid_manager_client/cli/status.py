"""`appid-manager status`: the AppIDs and their holders as a table, once or again and again."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from typing import NoReturn

from ..checks import check_name
from ..client import AppIdClient
from ..errors import TransportError
from ..text import printable
from .connection import open_client
from .entries import (
    FREE,
    IN_USE,
    RESERVED,
    UNUSABLE,
    USED,
    USED_LATER,
    Entry,
    by_product,
    entries_of,
    is_reserved,
    reservation,
    seconds_of,
    state_of,
)
from .exits import ExitCode, UsageError
from .output import format_table, format_time, write_error, write_json, write_line

_CLEAR_SCREEN = "\x1b[H\x1b[2J"


def status(arguments: argparse.Namespace) -> int:
    """Show the AppIDs, once or, with `--watch`, until Ctrl-C."""
    product = _product(arguments)
    with open_client(arguments) as client:
        if arguments.watch is not None:
            _watch(client, arguments, product)
        _show(client, arguments, product)
    return ExitCode.OK


def _product(arguments: argparse.Namespace) -> str | None:
    """The product that is asked for, as an argument or as an option."""
    product: str | None = arguments.product
    option: str | None = arguments.product_option
    if None not in (product, option) and product != option:
        raise UsageError(f"PRODUCT and --product name two products: {product!r} and {option!r}")
    product = option if product is None else product
    if product is not None:
        check_name(product, "PRODUCT")
    return product


def _watch(client: AppIdClient, arguments: argparse.Namespace, product: str | None) -> NoReturn:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    pause = threading.Event()  # nobody sets it
    while True:
        try:
            _show(client, arguments, product, clear=on_terminal)
        except TransportError as error:
            write_error(error)
        pause.wait(arguments.watch)


def _show(
    client: AppIdClient,
    arguments: argparse.Namespace,
    product: str | None,
    *,
    clear: bool = False,
) -> None:
    body = client.get_status(product)
    entries = entries_of(body, client.base_url, product)
    if arguments.json:
        write_json(body)
        return
    text = _text(entries)
    if clear:
        text = f"{client.base_url}  {format_time(time.time())}\n\n{text}"
        text = _CLEAR_SCREEN + _fitting(text, *os.get_terminal_size(sys.stdout.fileno()))
    write_line(text)


def _fitting(text: str, columns: int, lines: int) -> str:
    """What a terminal of that size can show of a text without scrolling or breaking lines."""
    found = [
        line if len(line) <= columns else f"{line[:columns - 1]}…" for line in text.split("\n")
    ]
    room = max(1, lines - 1)  # the cursor stands in the last one
    if len(found) > room:
        found[room - 1 :] = [f"... and {len(found) - room + 1} more lines"[:columns]]
    return "\n".join(found)


def _text(entries: list[Entry]) -> str:
    if not entries:
        return "no AppIDs: no product was initialized yet"
    products = by_product(entries)
    return "\n\n".join(_product_text(name, those) for name, those in products.items())


def _product_text(product: str, entries: list[Entry]) -> str:
    states = [state_of(entry) for entry in entries]
    counts = ", ".join(f"{states.count(state)} {state}" for state in (FREE, IN_USE, USED))
    for state in (USED_LATER, RESERVED, UNUSABLE):
        if state in states:
            counts += f", {states.count(state)} {state}"
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
    if any(is_reserved(entry) for entry in entries):
        headings.append("RESERVED")
        for row, entry in zip(rows, entries):
            row.append(reservation(entry))
    return f"{printable(product)}: {len(entries)} AppIDs, {counts}\n{format_table(headings, rows)}"


def _time(entry: Entry, name: str) -> str:
    return format_time(seconds_of(entry, name))
