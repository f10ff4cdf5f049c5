"""The format of a journal's file: what was written is read again, and nothing else is a record."""

from __future__ import annotations

import zlib

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


@pytest.mark.parametrize("text", ["Grüße\n\t", "\udcff", 'a"b\\c', "x" * 5000])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    request = request_line(JournalRecord(text, text, text, text, 1))
    grant = grant_line(appid=text, vid=text, start_time=1, lease_id=text)
    assert parse_record(request + grant) == JournalRecord(
        text, text, text, text, 1, text, text, 1, text
    )


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


def test_a_record_of_a_newer_version_is_told_apart() -> None:
    with pytest.raises(NewerFormat):
        parse_record(encode_line({"format": FORMAT + 1, "whatever": True}))
