"""`appid-manager pause`: stops the grants of a product, or lets them go on."""

from __future__ import annotations

import argparse

from ..checks import check_name
from ..text import printable
from .connection import open_client
from .exits import ExitCode
from .output import write_json, write_line
from .said import check_said, said_by


def pause(arguments: argparse.Namespace) -> int:
    """Pause a product; with `--resume`, have its AppIDs granted again."""
    check_name(arguments.product, "PRODUCT")
    check_said(arguments)
    paused = not arguments.resume
    with open_client(arguments) as client:
        client.pause_product(arguments.product, paused, arguments.note, by=said_by(arguments))
    if arguments.json:
        facts = {"productName": arguments.product, "paused": paused, "note": arguments.note}
        write_json(facts)
    else:
        state = "paused: nothing is granted" if paused else "not paused"
        write_line(f"{printable(arguments.product)} is {state}")
    return ExitCode.OK
