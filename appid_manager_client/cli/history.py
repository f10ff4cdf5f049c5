"""`appid-manager history`: who had which AppID when, as a table."""

from __future__ import annotations

import argparse

from ..checks import check_name
from .connection import ask, ask_for_extensions
from .entries import Entry, seconds_of
from .exits import ExitCode
from .output import format_table, format_time, write_json, write_line

_HEADINGS = ("APPID", "PRODUCT", "ACQUIRED", "RELEASED", "ENDED", "HOLDER")


def history(arguments: argparse.Namespace) -> int:
    """Show the leases that the service remembers, the newest first."""
    product, appid = arguments.product, arguments.appid
    for name, value in (("PRODUCT", product), ("--appid", appid)):
        if value is not None:
            check_name(value, name)
    api = ask_for_extensions(arguments, "it keeps no history")
    body = ask(lambda: api.history_body(product, appid, limit=arguments.limit))
    if arguments.json:
        write_json(body)
    elif body["leases"]:
        write_line(format_table(_HEADINGS, [_row(lease) for lease in body["leases"]]))
    else:
        write_line("no leases")
    return ExitCode.OK


def _row(lease: Entry) -> list[object]:
    return [
        lease.get("appid"),
        lease.get("productName"),
        format_time(seconds_of(lease, "starttime")),
        format_time(seconds_of(lease, "stoptime")),
        lease.get("ended") or "in use",
        lease.get("holder") or "-",
    ]
