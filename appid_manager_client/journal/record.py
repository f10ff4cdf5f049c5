"""What a file of the journal says about its lease, and the format in which it says it.

Owns the record, and its encoding and parsing. The files themselves are for `journal.py`.

The format: one line for the request, written before the acquire is sent, and one line for the
grant, added when the service has answered. A line is JSON in ASCII, a space, and a checksum. A
line that was not written completely fails its checksum, and counts as missing.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from typing import Any

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
    if request.get("format") != FORMAT:
        raise NewerFormat
    line, newline, _ = rest.partition(b"\n")
    grant = _parse_line(line) if newline else None
    try:
        record = JournalRecord(
            request["service"],
            request["product"],
            request["request"],
            request["holder"],
            request["created"],
        )
        if grant is None:
            return record
        return replace(
            record,
            appid=grant["appid"],
            vid=grant["vid"],
            start_time=grant["start"],
            lease_id=grant["lease"],
        )
    except KeyError:
        return None


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
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
