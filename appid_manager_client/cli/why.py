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
from .entries import (
    FREE,
    IN_USE,
    RESERVED,
    UNUSABLE,
    USED,
    USED_LATER,
    Entry,
    entries_of,
    is_reserved,
    reservation,
    seconds_of,
    state_of,
)
from .exits import ExitCode
from .output import PROGRAM, format_duration, format_table, format_time, write_json, write_line

_STATES = (FREE, IN_USE, USED, USED_LATER, RESERVED, UNUSABLE)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a status says about one product. Times are in seconds, on the service's clock."""

    product: str
    entries: list[Entry]
    now: float
    hour_end: float | None
    hour_length: float
    extended: bool
    paused: bool = False
    pause_note: str | None = None

    def having(self, state: str) -> list[Entry]:
        """The AppIDs in that state."""
        return [entry for entry in self.entries if state_of(entry) == state]

    @property
    def next(self) -> float | None:
        """When the next AppID can be free: when the hour turns, if one is used or in use.

        One that is in use and reserved isn't free after its release. If all were used in later
        hours, it is when the first of these hours ends.
        """
        if self.paused or self.having(FREE):
            return None
        held = [entry for entry in self.having(IN_USE) if not is_reserved(entry)]
        if self.having(USED) or held:
            return self.hour_end
        hours = [seconds_of(entry, "stoptime_hour") for entry in self.having(USED_LATER)]
        return min((hour + self.hour_length for hour in hours if hour is not None), default=None)


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
    body = ask(lambda: api.status_body(product))
    entries = entries_of(body, api.base_url, product)
    end = _hour_end_ms(api, entries)
    now = api.clock.now()
    return Findings(
        product,
        entries,
        now,
        None if end is None else end / 1000,
        api.clock.hour_length,
        bool(api.extended),
        body.get("paused") is True,
        body.get("pauseNote"),
    )


def _hour_end_ms(api: ServiceApi, entries: list[Entry]) -> int | None:
    """When the service's hour ends, in milliseconds since the Unix epoch; `None` if unknown.

    Field services name the hour only in the entries of a status.
    """
    end = api.clock.hour_end()
    if end is not None:
        return round(end * 1000)
    start = seconds_of(entries[0], "current_hour") if entries else None
    return None if start is None else round((start + api.clock.hour_length) * 1000)


def _text(findings: Findings) -> list[str]:
    total = len(findings.entries)
    number = {state: len(findings.having(state)) for state in _STATES}
    others = [
        f"{number[IN_USE]} in use" if number[IN_USE] else "",
        f"{number[USED]} used in this hour" if number[USED] else "",
        f"{number[USED_LATER]} used in a later hour" if number[USED_LATER] else "",
        f"{number[RESERVED]} reserved" if number[RESERVED] else "",
        f"{number[UNUSABLE]} unusable" if number[UNUSABLE] else "",
    ]
    free = f"{number[FREE]} of {total} AppIDs free" if number[FREE] else "nothing is free"
    reasons = ", ".join(reason for reason in others if reason)
    name = printable(findings.product)
    lines = [f"{name}: {free}" + (f" ({reasons})" if reasons else "")]
    if findings.paused:
        lines.append(_pause(findings))
    elif not number[FREE]:
        lines += _outlook(findings, number[USED])
    if number[UNUSABLE]:
        lines.append(
            "unusable: released without having been acquired; "
            f"'{PROGRAM} acquire --force', followed by 'release', mends that"
        )
    if number[USED_LATER]:
        lines += _later(findings.extended)
    if number[RESERVED] and not number[FREE]:
        lines.append(f"reserved: '{PROGRAM} reserve --free APPID' takes one back into use")
    taken = [entry for state in _STATES[1:] for entry in findings.having(state)]
    if taken:
        lines += ["", _table(findings, taken)]
    if number[IN_USE] and not findings.extended:
        lines.append("this is a field service: it doesn't know who has an AppID")
    return lines


def _pause(findings: Findings) -> str:
    note = "" if findings.pause_note is None else f" ({printable(findings.pause_note)})"
    return f"paused: nothing is granted{note}; '{PROGRAM} pause --resume PRODUCT' ends that"


def _outlook(findings: Findings, used: int) -> list[str]:
    if findings.next is None:
        return []
    left = format_duration(findings.next - findings.now)
    if findings.next != findings.hour_end:
        return [f"next: at {format_time(findings.next)}, in {left}, when a later hour has ended"]
    at = format_time(findings.next, date=False)
    if used:
        return [f"next: {used} when the hour turns, at {at}, in {left}"]
    return [f"next: what is given back by then is free when the hour turns, at {at}, in {left}"]


def _later(extended: bool) -> list[str]:
    cure = f"'{PROGRAM} reserve --free APPID' takes one back into use"
    what = "used in a later hour: the service's clock was ahead then, and was set back"
    return [f"{what}; {cure}" if extended else what]


def _table(findings: Findings, taken: Sequence[Entry]) -> str:
    headings = ["APPID", "STATE", "SINCE", "FOR"]
    rows = []
    for entry in taken:
        state = state_of(entry)
        since = seconds_of(entry, "starttime" if state == IN_USE else "stoptime")
        long = (
            "-" if since is None or state == USED_LATER else format_duration(findings.now - since)
        )
        rows.append([entry.get("appid"), state, format_time(since), long])
    if findings.extended:
        headings += ["HOLDER", "LEASE ENDS"]
        for row, entry in zip(rows, taken):
            ends = seconds_of(entry, "expiresAt")
            row += [entry.get("holder") or "-", _ends(ends, state_of(entry))]
    if any(is_reserved(entry) for entry in taken):
        headings.append("RESERVED")
        for row, entry in zip(rows, taken):
            row.append(reservation(entry))
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
        "usedInLaterHour": len(findings.having(USED_LATER)),
        "reserved": len(findings.having(RESERVED)),
        "unusable": len(findings.having(UNUSABLE)),
        "paused": findings.paused,
        "availableAt": None if findings.next is None else round(findings.next * 1000),
        "hourEnd": None if findings.hour_end is None else round(findings.hour_end * 1000),
        "serverTime": round(findings.now * 1000),
        "appids": [entry for entry in findings.entries if state_of(entry) != FREE],
    }
