"""`appid-manager reserve`: takes an AppID out of use, or back into use."""

from __future__ import annotations

import argparse

from ..checks import check_name
from ..client import AppIdClient
from ..errors import AppIdNotFound
from ..text import printable
from ..wire.models import AppIdState
from .connection import open_client
from .entries import by_product, entries_of
from .exits import ExitCode, UsageError
from .output import write_json, write_line
from .said import check_said, said_by

_RESERVED = {
    AppIdState.RESERVED: "is reserved",
    AppIdState.IN_USE: "is in use; it is reserved from its release on",
}
_FREED = {
    AppIdState.AVAILABLE: "is free",
    AppIdState.USED_IN_CURRENT_HOUR: "was used in this hour; it is free when the hour turns",
    AppIdState.IN_USE: "is in use; it is not reserved any more",
}


def reserve(arguments: argparse.Namespace) -> int:
    """Reserve an AppID; with `--free`, take it back into use."""
    reserved = not arguments.free
    _check(arguments)
    with open_client(arguments) as client:
        product = arguments.product or _product_of(client, arguments.appid)
        status = client.reserve_appid(
            arguments.appid,
            product,
            reserved=reserved,
            note=arguments.note,
            by=said_by(arguments),
        )
    if arguments.json:
        facts = {"appid": arguments.appid, "productName": product, "reserved": reserved}
        write_json({**facts, "note": arguments.note, "status": status})
    else:
        what = f"{printable(arguments.appid)} of {printable(product)}"
        said = {state.value: words for state, words in (_RESERVED if reserved else _FREED).items()}
        write_line(f"{what} {said.get(status, f'has the status {printable(status)} now')}")
    return ExitCode.OK


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can't be meant, before anything is sent."""
    check_name(arguments.appid, "APPID")
    if arguments.product is not None:
        check_name(arguments.product, "PRODUCT")
    check_said(arguments)


def _product_of(client: AppIdClient, appid: str) -> str:
    """The product that has this AppID, as the service's status says.

    Raises:
        AppIdNotFound: none has.
        UsageError: several have, as is possible on a field service.
    """
    products = by_product(entries_of(client.get_status(), client.base_url, None))
    found = [
        name
        for name, entries in products.items()
        if any(entry.get("appid") == appid for entry in entries)
    ]
    if not found:
        raise AppIdNotFound(
            f"{client.base_url} has no AppID {appid!r}", service=client.base_url, appid=appid
        )
    if len(found) > 1:
        raise UsageError(f"{len(found)} products have an AppID {appid!r}: name the PRODUCT")
    return found[0]
