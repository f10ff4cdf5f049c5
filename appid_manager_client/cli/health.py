"""`appid-manager health`: whether the service is healthy, and what its clock says."""

from __future__ import annotations

import argparse
import time

from .connection import open_api
from .exits import ExitCode
from .output import format_duration, format_time, write_json, write_line


def health(arguments: argparse.Namespace) -> int:
    """Show whether the service is healthy, and what its clock says."""
    api = open_api(arguments)
    found = api.health()
    offset = api.clock.now() - time.time()
    if arguments.json:
        write_json(
            {
                "status": "healthy",
                "url": api.base_url,
                "serverTime": found.server_time_ms,
                "hourStart": found.hour_start_ms,
                "hourEnd": found.hour_end_ms,
                "clockOffset": round(offset, 3),
                "extended": bool(api.extended),
            }
        )
        return ExitCode.OK
    now = format_time(found.server_time_ms / 1000)
    write_line(f"{api.base_url} is healthy")
    write_line(f"its clock   {now} ({offset:+.3f} s from this machine's)")
    if found.hour_end_ms is not None:
        end = found.hour_end_ms / 1000
        left = format_duration(api.clock.seconds_until(end))
        write_line(f"its hour    ends at {format_time(end, date=False)}, in {left}")
    write_line(f"extensions  {'yes' if api.extended else 'no: a field service'}")
    return ExitCode.OK
