"""`appid-manager history`: who had which AppID when, and what operators did, as tables."""

from __future__ import annotations

import argparse

from ..checks import check_name
from .connection import ask, ask_for_extensions
from .entries import Entry, seconds_of
from .exits import ExitCode
from .output import format_table, format_time, write_json, write_line

_HEADINGS = ("APPID", "PRODUCT", "ACQUIRED", "RELEASED", "ENDED", "HOLDER")
_OF_ACTS = ("TIME", "WHAT", "PRODUCT", "APPID", "WHO", "NOTE")


def history(arguments: argparse.Namespace) -> int:
    """Show the leases and acts that the service remembers, the newest first."""
    product, appid = arguments.product, arguments.appid
    for name, value in (("PRODUCT", product), ("--appid", appid)):
        if value is not None:
            check_name(value, name)
    api = ask_for_extensions(arguments, "it keeps no history")
    body = ask(lambda: api.history_body(product, appid, limit=arguments.limit))
    if arguments.json:
        write_json(body)
    else:
        leases, acts = body["leases"], body.get("acts", [])
        tables = [format_table(_HEADINGS, [_row(lease) for lease in leases])] if leases else []
        if acts:
            tables.append(format_table(_OF_ACTS, [_row_of_act(act) for act in acts]))
        write_line("\n\n".join(tables) or "no leases")
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


def _row_of_act(act: Entry) -> list[object]:
    who = [said for said in (act.get("token"), act.get("by")) if said]
    return [
        format_time(seconds_of(act, "at")),
        act.get("act"),
        act.get("productName"),
        act.get("appid") or "-",
        ", ".join(map(str, who)) or "-",
        act.get("note") or "-",
    ]
