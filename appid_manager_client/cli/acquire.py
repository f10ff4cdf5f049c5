"""`appid-manager acquire` and `release`: an AppID that the caller gives back itself."""

from __future__ import annotations

import argparse

from ..checks import check_name
from ..text import printable
from ..wire.models import Acquisition
from .connection import open_api, open_client, require_extensions
from .countdown import Countdown
from .exits import ExitCode, UsageError
from .output import assign_in_shell, write_json, write_line
from .said import check_said, said_by

_VARIABLES = ("APPID", "APPID_VID", "APPID_START_TIME", "APPID_PRODUCT")


def acquire(arguments: argparse.Namespace) -> int:
    """Acquire an AppID and print it. If it can't be printed, it is given back."""
    check_name(arguments.product, "PRODUCT")
    if arguments.ttl is not None:
        require_extensions(open_api(arguments), "--ttl", "never takes an AppID back by itself")
    once = arguments.no_wait
    with (
        Countdown(as_json=arguments.json) as countdown,
        open_client(arguments, countdown) as client,
    ):
        acquired = client.acquire_appid(
            arguments.product,
            0 if once else arguments.max_retries,
            arguments.retry_interval,
            timeout=0 if once else arguments.wait_timeout,
            force=arguments.force,
            ttl=arguments.ttl,
            holder=arguments.holder,
        )
        try:
            countdown.stop()
            _write(acquired, arguments)
        except BaseException:
            client.release_appid(acquired.appid, acquired.product_name)
            raise
    return ExitCode.OK


def _write(acquired: Acquisition, arguments: argparse.Namespace) -> None:
    if arguments.json:
        names = ("appid", "vid", "starttime", "productName")
        write_json(dict(zip(names, acquired)))
    elif arguments.shell:
        pairs = zip(_VARIABLES, acquired)
        write_line("\n".join(assign_in_shell(name, value) for name, value in pairs))
    else:
        write_line(f"{printable(acquired.appid)}\t{printable(acquired.vid)}")


def release(arguments: argparse.Namespace) -> int:
    """Give an AppID back."""
    check_name(arguments.product, "PRODUCT")
    check_name(arguments.appid, "APPID")
    check_said(arguments)
    if arguments.force != (arguments.note is not None):
        raise UsageError("--force and --note go together: the note says why it is released")
    with open_client(arguments) as client:
        if arguments.force:
            by = said_by(arguments)
            client.force_release(arguments.appid, arguments.product, arguments.note, by=by)
            released = True
        else:
            released = client.release_appid(arguments.appid, arguments.product)
    if arguments.json:
        write_json(
            {"released": released, "appid": arguments.appid, "productName": arguments.product}
        )
    else:
        what = f"{printable(arguments.appid)} of {printable(arguments.product)}"
        write_line(f"released {what}" if released else f"{what} was released already")
    return ExitCode.OK
