"""`appid-manager why`: why no AppID of a product is free, who has which, and when the next one is.

A field service doesn't know who has an AppID; what its status tells is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ..checks import check_name
from ..text import printable
from ..wire.api import ServiceApi
from .connection import ask, open_api
from .entries import FREE, IN_USE, UNUSABLE, USED, Entry, entries_of, seconds_of, state_of
from .exits import ExitCode
from .output import PROGRAM, format_duration, format_table, format_time, write_json, write_line
from .products import hour_end_ms


@dataclass(frozen=True, slots=True)
class Findings:
    """What a status says about one product. Times are in seconds, on the service's clock."""

    product: str
    entries: list[Entry]
    now: float
    hour_end: float | None
    extended: bool

    def having(self, state: str) -> list[Entry]:
        """The AppIDs in that state."""
        return [entry for entry in self.entries if state_of(entry) == state]

    @property
    def next(self) -> float | None:
        """When the next AppID can be free: when the hour turns, if one is used or in use."""
        waits = self.having(USED) or self.having(IN_USE)
        return None if self.having(FREE) or not waits else self.hour_end


def why(arguments: argparse.Namespace) -> int:
    """Show why nothing is free, or that something is."""
    check_name(arguments.product, "PRODUCT")
    findings = _look(open_api(arguments), arguments.product)
    if arguments.json:
        write_json(_as_json(findings))
    else:
        write_line("\n".join(_text(findings)))
    return ExitCode.OK


def _look(api: ServiceApi, product: str) -> Findings:
    ask(api.health)
    entries = entries_of(ask(lambda: api.status_body(product)), api.base_url, product)
    end = hour_end_ms(api, entries)
    now = api.clock.now()
    return Findings(product, entries, now, None if end is None else end / 1000, bool(api.extended))


def _text(findings: Findings) -> list[str]:
    total = len(findings.entries)
    number = {state: len(findings.having(state)) for state in (FREE, IN_USE, USED, UNUSABLE)}
    others = [
        f"{number[IN_USE]} in use" if number[IN_USE] else "",
        f"{number[USED]} used in this hour" if number[USED] else "",
        f"{number[UNUSABLE]} unusable" if number[UNUSABLE] else "",
    ]
    free = f"{number[FREE]} of {total} AppIDs free" if number[FREE] else "nothing is free"
    reasons = ", ".join(reason for reason in others if reason)
    name = printable(findings.product)
    lines = [f"{name}: {free}" + (f" ({reasons})" if reasons else "")]
    if not number[FREE]:
        lines += _outlook(findings, number[USED])
    if number[UNUSABLE]:
        lines.append(
            "unusable: released without having been acquired; "
            f"'{PROGRAM} acquire --force', followed by 'release', mends that"
        )
    taken = findings.having(IN_USE) + findings.having(USED) + findings.having(UNUSABLE)
    if taken:
        lines += ["", _table(findings, taken)]
    if number[IN_USE] and not findings.extended:
        lines.append("this is a field service: it doesn't know who has an AppID")
    return lines


def _outlook(findings: Findings, used: int) -> list[str]:
    if findings.next is None:
        return []
    at = format_time(findings.next, date=False)
    left = format_duration(findings.next - findings.now)
    if used:
        return [f"next: {used} when the hour turns, at {at}, in {left}"]
    return [f"next: what is given back by then is free when the hour turns, at {at}, in {left}"]


def _table(findings: Findings, taken: Sequence[Entry]) -> str:
    headings = ["APPID", "STATE", "SINCE", "FOR"]
    rows = []
    for entry in taken:
        state = state_of(entry)
        since = seconds_of(entry, "starttime" if state == IN_USE else "stoptime")
        long = "-" if since is None else format_duration(findings.now - since)
        rows.append([entry.get("appid"), state, format_time(since), long])
    if findings.extended:
        headings += ["HOLDER", "LEASE ENDS"]
        for row, entry in zip(rows, taken):
            ends = seconds_of(entry, "expiresAt")
            row += [entry.get("holder") or "-", _ends(ends, state_of(entry))]
    return format_table(headings, rows)


def _ends(ends: float | None, state: str) -> str:
    if state != IN_USE:
        return "-"
    return "when released" if ends is None else f"{format_time(ends)} unless extended"


def _as_json(findings: Findings) -> dict[str, object]:
    return {
        "productName": findings.product,
        "total": len(findings.entries),
        "free": len(findings.having(FREE)),
        "inUse": len(findings.having(IN_USE)),
        "usedThisHour": len(findings.having(USED)),
        "unusable": len(findings.having(UNUSABLE)),
        "availableAt": None if findings.next is None else round(findings.next * 1000),
        "hourEnd": None if findings.hour_end is None else round(findings.hour_end * 1000),
        "serverTime": round(findings.now * 1000),
        "appids": [entry for entry in findings.entries if state_of(entry) != FREE],
    }
