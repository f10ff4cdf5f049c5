"""Reads AppIDs and their vids from a JSON file, for `init`.

Every error is one line that names the file and the place in it.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from .exits import UsageError

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def read_appids(name: str) -> dict[str, str | int]:
    """The AppIDs in the file `name`, or on stdin for `-`.

    Raises:
        UsageError: it can't be read; or it isn't one JSON object, its values strings or integers,
            no key twice.
    """
    where = "<stdin>" if name == "-" else name
    text = _decode(_read(name, where), where)
    try:
        appids = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, where),
            parse_constant=lambda constant: _refuse(where, f"{constant} is no JSON"),
        )
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where}: line {error.lineno}, column {error.colno}: no valid JSON ({error.msg})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: no usable JSON ({error})") from None
    return _check(appids, where)


def _read(name: str, where: str) -> bytes:
    try:
        if name == "-":
            if sys.stdin is None:
                raise UsageError("<stdin>: it is closed")
            return sys.stdin.buffer.read()
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        why = (error.strerror or "it can't be read").lower()
        raise UsageError(f"{where}: {why}") from None
    except ValueError:
        raise UsageError(f"{where!r}: no usable file name") from None


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise UsageError(f"{where}: line {line}, column {column}: no valid UTF-8") from None


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse(where, f"key {key!r} is there more than once")
        found[key] = value
    return found


def _check(appids: object, where: str) -> dict[str, str | int]:
    if not isinstance(appids, dict):
        _refuse(where, f"a JSON object {{appid: vid}} is required, not {_kind(appids)}")
    if not appids:
        _refuse(where, "the object is empty: it names no AppID")
    for appid, vid in appids.items():
        if not appid.strip():
            _refuse(where, f"key {appid!r} is no AppID")
        if isinstance(vid, bool) or not isinstance(vid, (str, int)):
            _refuse(
                where, f"key {appid!r}: the vid must be a string or an integer, not {_kind(vid)}"
            )
    return appids


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"the number {value!r}")


def _refuse(where: str, why: str) -> NoReturn:
    raise UsageError(f"{where}: {why}")
