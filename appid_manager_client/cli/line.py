"""`appid-manager line`: who waits in line for the AppIDs of a product, as a table."""

from __future__ import annotations

import argparse

from ..checks import check_name
from .connection import ask, ask_for_extensions
from .entries import Entry, seconds_of
from .exits import ExitCode
from .output import format_table, format_time, write_json, write_line

_HEADINGS = ("PLACE", "SINCE", "HEARD", "HOLDER", "NOTE")


def line(arguments: argparse.Namespace) -> int:
    """Show who waits, in the order of the line."""
    product = arguments.product
    check_name(product, "PRODUCT")
    api = ask_for_extensions(arguments, "it has no line")
    body = ask(lambda: api.line_body(product, limit=arguments.limit))
    if arguments.json:
        write_json(body)
    elif body["line"]:
        write_line(f"{product}: {body.get('waiting')} wait, {_next(body)}")
        write_line(format_table(_HEADINGS, [_row(waiter) for waiter in body["line"]]))
    else:
        write_line(f"{product}: nobody waits in line")
    return ExitCode.OK


def _next(body: Entry) -> str:
    return f"next chance at {format_time(seconds_of(body, 'hourEnd'), date=False)}"


def _row(waiter: Entry) -> list[object]:
    notes = [name for name in ("due", "forced") if waiter.get(name)]
    return [
        waiter.get("place"),
        format_time(seconds_of(waiter, "since")),
        format_time(seconds_of(waiter, "heard")),
        waiter.get("holder") or "-",
        ", ".join(notes) or "-",
    ]
