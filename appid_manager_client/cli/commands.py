"""The small commands: `health`, `init`, `acquire`, `release` and `reap`.

Larger commands have modules of their own: `status`, `serve`, `run` and `demo`.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import time

from ..journal.reaping import Reaped
from ..text import get_logger
from ..wire.api import ServiceApi
from ..wire.models import Acquisition
from .appids_file import read_appids
from .connection import open_api, open_client
from .countdown import Countdown
from .exits import ExitCode, UsageError
from .output import format_duration, format_time, printable, write_json, write_line

logger = get_logger()


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


def init(arguments: argparse.Namespace) -> int:
    """Set a product's AppIDs."""
    appids = read_appids(arguments.file)
    if arguments.keep_state:
        _require_extensions(open_api(arguments))
    with open_client(arguments) as client:
        client.init_product(arguments.product, appids, keep_state=arguments.keep_state)
    if arguments.json:
        write_json(
            {
                "success": True,
                "productName": arguments.product,
                "appids": len(appids),
                "keepState": arguments.keep_state,
            }
        )
    else:
        number = f"{len(appids)} AppID{'' if len(appids) == 1 else 's'}"
        write_line(f"{printable(arguments.product)} has {number} now")
    return ExitCode.OK


def _require_extensions(api: ServiceApi) -> None:
    """Refuse `--keep-state` for a field service: it would ignore that and forget what is in use."""
    api.health()
    if not api.extended:
        raise UsageError(
            f"--keep-state: {api.base_url} can't do that, and would forget what is in use; "
            "nothing was sent"
        )


def acquire(arguments: argparse.Namespace) -> int:
    """Acquire an AppID and print it. If it can't be printed, it is given back."""
    once = arguments.no_wait or arguments.wait_timeout == 0
    with Countdown() as countdown, open_client(arguments, countdown) as client:
        acquired = client.acquire_appid(
            arguments.product,
            0 if once else arguments.max_retries,
            arguments.retry_interval,
            timeout=None if once else arguments.wait_timeout,
        )
        try:
            countdown.stop()
            write_line(_acquired_text(acquired, arguments))
        except BaseException:
            client.release_appid(acquired.appid, acquired.product_name)
            raise
    return ExitCode.OK


def _acquired_text(acquired: Acquisition, arguments: argparse.Namespace) -> str:
    if arguments.json:
        names = ("appid", "vid", "starttime", "productName")
        return json.dumps(dict(zip(names, acquired)), ensure_ascii=False)
    if arguments.shell:
        variables = ("APPID", "APPID_VID", "APPID_START_TIME", "APPID_PRODUCT")
        return "\n".join(
            f"{name}={shlex.quote(str(value))}" for name, value in zip(variables, acquired)
        )
    return f"{printable(acquired.appid)}\t{printable(acquired.vid)}"


def release(arguments: argparse.Namespace) -> int:
    """Give an AppID back."""
    with open_client(arguments) as client:
        released = client.release_appid(arguments.appid, arguments.product)
    if arguments.json:
        write_json(
            {"released": released, "appid": arguments.appid, "productName": arguments.product}
        )
    else:
        what = f"{printable(arguments.appid)} of {printable(arguments.product)}"
        write_line(f"released {what}" if released else f"{what} was released already")
    return ExitCode.OK


def reap(arguments: argparse.Namespace) -> int:
    """Give back the AppIDs of killed processes of this host."""
    if not arguments.verbose:
        logger.setLevel(logging.ERROR)  # each AppID is output here, so no warning about it too
    with open_client(arguments) as client:
        if arguments.journal is not None or client.journal is None:
            client.use_journal(arguments.journal)
        reaped = client.reap()
    if arguments.json:
        write_json([_reaped_json(one) for one in reaped])
        return ExitCode.OK
    for one in reaped:
        appid = printable(one.appid or "the AppID of an unanswered acquire")
        holder = printable(one.holder or "-")
        what = f"{appid} of {printable(one.product_name)} (held by {holder})"
        write_line(f"gave back {what}" if one.released else f"{what} was not held any more")
    if not reaped:
        write_line("nothing to give back")
    return ExitCode.OK


def _reaped_json(reaped: Reaped) -> dict[str, object]:
    return {
        "appid": reaped.appid,
        "productName": reaped.product_name,
        "holder": reaped.holder,
        "released": reaped.released,
    }
