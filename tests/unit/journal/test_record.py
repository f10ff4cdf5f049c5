"""The format of a journal's file: what was written is read again, and nothing else is a record."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from appid_manager_client.journal.record import (
    FORMAT,
    JournalRecord,
    NewerFormat,
    encode_line,
    grant_line,
    parse_record,
    request_line,
)

RECORD = JournalRecord("http://127.0.0.1:5000", "stt", "request-1", "host:7", 1_700_000_000_000)
ROOM = b" " * 512


@pytest.mark.parametrize("text", ["Grüße\n\t", 'a"b\\c', "x" * 5000])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    request = request_line(JournalRecord(text, text, text, text, 1))
    grant = grant_line(appid=text, vid=text, start_time=1, lease_id=text)
    assert parse_record(request + grant) == JournalRecord(
        text, text, text, text, 1, text, text, 1, text
    )


def test_text_of_a_service_comes_back_even_if_it_can_not_be_encoded() -> None:
    grant = grant_line(appid="\udcff", vid="\udcff", start_time=1, lease_id="\udcff")
    record = parse_record(request_line(replace(RECORD, holder="\udcff")) + grant)
    assert record is not None
    assert {record.holder, record.appid, record.vid, record.lease_id} == {"\udcff"}


def test_a_request_without_a_grant_is_a_record() -> None:
    assert parse_record(request_line(RECORD) + ROOM) == RECORD


def test_a_torn_grant_is_no_grant_wherever_it_was_torn() -> None:
    request = request_line(RECORD)
    grant = grant_line(appid="a1", vid="v1", start_time=1, lease_id=None)
    for cut in range(len(grant)):
        assert parse_record(request + grant[:cut] + ROOM[cut:]) == RECORD, cut


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 700,
        b"garbage",
        b"\n",
        b"[1] 00000000\n",
        b'{"format":1}\n',
        pytest.param(b"{ %08x\n" % zlib.crc32(b"{"), id="no JSON"),
        pytest.param(b"[1] %08x\n" % zlib.crc32(b"[1]"), id="no object"),
        b"x" * 200_000,
        pytest.param(encode_line({"format": FORMAT, "service": "s"}), id="fields are missing"),
        pytest.param(request_line(RECORD)[:-1], id="no end of the line"),
    ],
)
def test_anything_else_is_no_record(content: bytes) -> None:
    assert parse_record(content) is None


def line_of(text: bytes) -> bytes:
    """A line with a right checksum, whatever is in it."""
    return b"%s %08x\n" % (text, zlib.crc32(text))


HOSTILE_JSON = {
    "deep list": b"[" * 60_000,
    "deep object": b'{"format":1,"service":' + b'{"a":' * 30_000,
    "deep and closed": b"[" * 30_000 + b"]" * 30_000,
    "number without end": b'{"format":' + b"9" * 50_000 + b"}",
    "no UTF-8": b'{"format":"\xff"}',
    "UTF-16": '{"format":1}'.encode("utf-16"),
    "two values": b'{"format":1} {"format":1}',
}


@pytest.mark.parametrize("text", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_json_with_a_right_checksum_is_no_record_and_no_grant(text: bytes) -> None:
    assert parse_record(line_of(text)) is None
    assert parse_record(request_line(RECORD) + line_of(text)) == RECORD


WRONG: list[tuple[str, Any]] = [
    *(("format", value) for value in (None, "1", 0, -1, ["a"], 10**4000)),
    *(
        (name, value)
        for name in ("service", "product", "request")
        for value in (None, 7, "", "  ", ["a"], {"a": 1}, "a\ud800")
    ),
    *(("holder", value) for value in (7, ["a"])),
    *(
        ("created", value)
        for value in (None, "1", 1.5, True, -1, 10**15, 10**4000, float("nan"), float("inf"))
    ),
]
WRONG_GRANTS: list[tuple[str, Any]] = [
    *(("appid", value) for value in (None, 7, ["a"])),
    *(("vid", value) for value in (None, 1.5, True, {"a": 1})),
    *(("start", value) for value in (None, "1", True, -1, 10**4000, float("nan"))),
    *(("lease", value) for value in (7, {"a": 1})),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_request_with_a_field_of_another_kind_is_no_record(name: str, value: object) -> None:
    fields = json.loads(request_line(RECORD).rpartition(b" ")[0])
    assert parse_record(encode_line({**fields, name: value})) is None


@pytest.mark.parametrize(("name", "value"), WRONG_GRANTS)
def test_a_grant_with_a_field_of_another_kind_is_no_record(name: str, value: object) -> None:
    line = grant_line(appid="a1", vid="v1", start_time=1, lease_id=None)
    fields = json.loads(line.rpartition(b" ")[0])
    assert parse_record(request_line(RECORD) + encode_line({**fields, name: value})) is None


def test_a_record_of_a_newer_version_is_told_apart() -> None:
    with pytest.raises(NewerFormat):
        parse_record(encode_line({"format": FORMAT + 1, "whatever": True}))
