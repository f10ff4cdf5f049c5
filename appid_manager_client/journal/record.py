"""What a file of the journal says about its lease, and the format in which it says it.

Owns the record, and its encoding and parsing. The files themselves are for `journal.py`.

The format: one line for the request, written before the acquire is sent, and one line for the
grant, added when the service has answered. A line is JSON in ASCII, a space, and a checksum. A
line that was not written completely fails its checksum, and counts as missing.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..checks import check_name
from ..wire.models import END_OF_TIME_MS

FORMAT = 1
"""The version of the format, in the first line of every file."""


class NewerFormat(Exception):
    """The file was written by a newer version of this package."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What a file of the journal says.

    The last four are `None` if the holder died before a grant was recorded. `created_ms` is on
    the clock of this machine, `start_time` on the clock of the service; both are milliseconds
    since the Unix epoch.
    """

    service: str
    product_name: str
    request_id: str
    holder: str | None
    created_ms: int
    appid: str | None = None
    vid: str | int | None = None
    start_time: int | None = None
    lease_id: str | None = None


def request_line(record: JournalRecord) -> bytes:
    """Return the first line of a file: what is about to be acquired."""
    return encode_line(
        {
            "format": FORMAT,
            "service": record.service,
            "product": record.product_name,
            "request": record.request_id,
            "holder": record.holder,
            "created": record.created_ms,
        }
    )


def grant_line(*, appid: str, vid: str | int, start_time: int, lease_id: str | None) -> bytes:
    """Return the second line of a file: what the service granted."""
    return encode_line({"appid": appid, "vid": vid, "start": start_time, "lease": lease_id})


def parse_record(data: bytes) -> JournalRecord | None:
    """Return the record in a file's bytes, without a grant if none was completely written.

    `None` means that the bytes are no record.

    Raises:
        NewerFormat: the file was written by a newer version of this package.
    """
    head, newline, rest = data.partition(b"\n")
    request = _parse_line(head)
    if not newline or request is None:
        return None
    version: Any = request.get("format")
    if _is_count(version) and version > FORMAT:
        raise NewerFormat
    if version != FORMAT or not _has_shape(request, _REQUEST):
        return None
    record = JournalRecord(
        request["service"],
        request["product"],
        request["request"],
        request["holder"],
        request["created"],
    )
    line, newline, _ = rest.partition(b"\n")
    grant = _parse_line(line) if newline else None
    if grant is None:
        return record
    if not _has_shape(grant, _GRANT):
        return None
    return replace(
        record,
        appid=grant["appid"],
        vid=grant["vid"],
        start_time=grant["start"],
        lease_id=grant["lease"],
    )


def _is_name(value: object) -> bool:
    """Whether a service can be asked about it."""
    try:
        check_name(value, "a name")
    except (TypeError, ValueError):
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_vid(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    """Whether it is a whole number as milliseconds and versions are."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < END_OF_TIME_MS


_Shape = dict[str, Callable[[object], bool]]

_REQUEST: _Shape = {
    "service": _is_name,
    "product": _is_name,
    "request": _is_name,
    "holder": _is_text_or_none,
    "created": _is_count,
}
_GRANT: _Shape = {
    "appid": _is_text,
    "vid": _is_vid,
    "start": _is_count,
    "lease": _is_text_or_none,
}


def _has_shape(fields: dict[str, Any], shape: _Shape) -> bool:
    """Whether all the fields are there and of the right kind.

    Reapers send what they read to a service, and log it: a file with anything else is unreadable.
    """
    return all(name in fields and fits(fields[name]) for name, fits in shape.items())


_encode = json.JSONEncoder(separators=(",", ":")).encode


def encode_line(fields: dict[str, Any]) -> bytes:
    """Return a line of the format: the fields as JSON, a space, their checksum, a newline."""
    text = _encode(fields).encode("ascii")
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line without its newline; `None` if it is torn or no such line."""
    text, _, checksum = line.rpartition(b" ")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        fields = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError):  # no JSON, a number without end, or nested too deeply
        return None
    return fields if isinstance(fields, dict) else None
