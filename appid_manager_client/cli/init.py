"""`appid-manager init`: sets a product's AppIDs, and ends no lease unless it is told to.

A field service can't keep what it knows of this hour's use: `init` looks first, and refuses to end
leases there.
"""

from __future__ import annotations

import argparse

from ..checks import check_name
from ..text import printable
from ..wire.api import ServiceApi
from ..wire.models import AppIdState
from .appids_file import read_appids
from .connection import ask, open_api, open_client, require_extensions
from .exits import ExitCode, UsageError
from .output import write_error, write_json, write_line

_MOST_NAMED = 5
"""How many AppIDs a refusal names."""


def init(arguments: argparse.Namespace) -> int:
    """Set a product's AppIDs."""
    check_name(arguments.product, "PRODUCT")
    appids = read_appids(arguments.file)
    keep_state = False if arguments.reset else _keeps_state(arguments)
    with open_client(arguments) as client:
        client.init_product(arguments.product, appids, keep_state=keep_state)
    if arguments.json:
        write_json(
            {
                "success": True,
                "productName": arguments.product,
                "appids": len(appids),
                "keepState": keep_state,
            }
        )
    else:
        write_line(f"{printable(arguments.product)} has {_appids(len(appids))} now")
    return ExitCode.OK


def _keeps_state(arguments: argparse.Namespace) -> bool:
    """Whether the service keeps the state; where it can't, whether nothing is lost is checked."""
    api = open_api(arguments)
    if arguments.keep_state:
        require_extensions(api, "--keep-state", "would forget what is in use; nothing was sent")
        return True
    ask(api.health)
    if api.extended:
        return True
    _refuse_to_end_leases(api, arguments.product)
    return False


def _refuse_to_end_leases(api: ServiceApi, product: str) -> None:
    """Look at what a field service is about to forget.

    Raises:
        UsageError: it would forget that an AppID is in use.
    """
    entries = ask(lambda: api.status(product)).appids
    held = [entry.appid for entry in entries if entry.status == AppIdState.IN_USE]
    if held:
        names = ", ".join(printable(appid) for appid in held[:_MOST_NAMED])
        more = ", ..." if len(held) > _MOST_NAMED else ""
        raise UsageError(
            f"{_appids(len(held))} of {printable(product)} in use ({names}{more}): {api.base_url} "
            "is a field service, which would forget that and hand them out again; release them "
            "first, or pass --reset; nothing was sent"
        )
    used = sum(entry.status == AppIdState.USED_IN_CURRENT_HOUR for entry in entries)
    if used:
        write_error(
            f"warning: {_appids(used)} of {printable(product)} used in this hour can be handed out "
            f"again in it: {api.base_url} is a field service, which can't keep that"
        )


def _appids(number: int) -> str:
    return f"{number} AppID{'' if number == 1 else 's'}"
