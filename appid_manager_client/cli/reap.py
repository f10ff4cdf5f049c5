"""`appid-manager reap`: gives back what killed processes of this host held, once or repeatedly."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Sequence
from typing import NoReturn

from ..client import AppIdClient
from ..errors import ProtocolError, TransportError
from ..journal.reaping import Reaped
from ..text import get_logger, printable
from .connection import open_client
from .exits import ExitCode, UsageError
from .output import write_error, write_json, write_line

logger = get_logger()


def reap(arguments: argparse.Namespace) -> int:
    """Give back the AppIDs of killed processes of this host."""
    journal = arguments.journal
    if journal is not None and (not journal or "\0" in journal):
        raise UsageError(f"--journal must name a directory, not {journal!r}")
    if not arguments.verbose:
        logger.setLevel(logging.ERROR)  # each AppID is output here, so no warning about it too
    with open_client(arguments) as client:
        if journal is not None or client.journal is None:
            client.use_journal(journal)
        if arguments.every is not None:
            _repeat(client, arguments)
        reaped = client.reap()
    _show(reaped, as_json=arguments.json)
    if not reaped and not arguments.json:
        write_line("nothing to give back")
    return ExitCode.OK


def _repeat(client: AppIdClient, arguments: argparse.Namespace) -> NoReturn:
    """Reap again and again, and write only what was found.

    A service that is away, or something in between that answers for it, ends nothing.
    """
    pause = threading.Event()  # nobody sets it
    while True:
        try:
            reaped = client.reap()
        except (TransportError, ProtocolError) as error:
            write_error(error)
        else:
            if reaped:
                _show(reaped, as_json=arguments.json)
        pause.wait(arguments.every)


def _show(reaped: Sequence[Reaped], *, as_json: bool) -> None:
    if as_json:
        write_json([_as_json(one) for one in reaped])
        return
    for one in reaped:
        appid = printable(one.appid or "the AppID of an unanswered acquire")
        holder = printable(one.holder or "-")
        what = f"{appid} of {printable(one.product_name)} (held by {holder})"
        write_line(f"gave back {what}" if one.released else f"{what} was not held any more")


def _as_json(reaped: Reaped) -> dict[str, object]:
    return {
        "appid": reaped.appid,
        "productName": reaped.product_name,
        "holder": reaped.holder,
        "released": reaped.released,
    }
