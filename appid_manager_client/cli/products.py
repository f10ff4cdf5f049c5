"""`appid-manager products`: the products, how many AppIDs each has, and how many wait for one."""

from __future__ import annotations

import argparse

from .connection import open_client
from .entries import Entry, seconds_of
from .exits import ExitCode
from .output import format_table, format_time, write_json, write_line

_HEADINGS = ("PRODUCT", "TOTAL", "FREE", "TAKEN", "WAITING", "NEXT")


def products(arguments: argparse.Namespace) -> int:
    """Show all products."""
    with open_client(arguments) as client:
        body = client.products()
    if arguments.json:
        write_json(body)
    elif body["products"]:
        write_line(format_table(_HEADINGS, [_row(product) for product in body["products"]]))
    else:
        write_line("no products: none was initialized yet")
    return ExitCode.OK


def _row(product: Entry) -> list[object]:
    return [
        product.get("productName"),
        product.get("total"),
        product.get("available"),
        product.get("in_use"),
        product.get("waiting"),
        _next(product),
    ]


def _next(product: Entry) -> str:
    if product.get("paused") is True:
        return "paused"
    return "now" if product.get("available") else format_time(seconds_of(product, "next"))
