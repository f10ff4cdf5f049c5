"""`appid-manager init`: the file that it reads, and what it keeps of a product."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.command import Cli
from tests.support.field import FieldService


def test_it_reads_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"in-1": "v"}')))
    ran = cli("init", "from-stdin", "-")
    assert (ran.code, ran.out) == (0, "from-stdin has 1 AppID now\n")


def test_with_keep_state_an_appid_stays_in_use(cli: Cli, product: str, tmp_path: Path) -> None:
    cli("acquire", product)
    file = tmp_path / "more.json"
    file.write_text(json.dumps({f"{product}-1": "v1", f"{product}-3": "v3"}))
    assert cli("init", product, str(file), "--keep-state").code == 0
    assert "1 free, 1 in use" in cli("status", "--product", product).out


def test_with_keep_state_nothing_is_sent_to_a_service_that_would_ignore_it(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "appids.json"
    file.write_text('{"a1": 1}')
    with FieldService() as service:
        ran = cli("init", "p", str(file), "--keep-state", url=service.url)
        assert service.calls_of("init") == []
    assert ran.code == 2
    assert "would forget what is in use" in ran.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file or directory"),
        (b'{"a1": 1,\n "b1" 2}', "line 2, column 7: no valid JSON (Expecting ':' delimiter)"),
        (b'{"a1": 1, "a1": 2}', "key 'a1' is there more than once"),
        (b'["a1"]', "a JSON object {appid: vid} is required, not an array"),
        (b"{}", "the object is empty: it names no AppID"),
        (b'{" ": 1}', "key ' ' is no AppID"),
        (b'{"a1": true}', "key 'a1': the vid must be a string or an integer, not a boolean"),
        (b'{"a1": {"b": 1}}', "key 'a1': the vid must be a string or an integer, not an object"),
        (b'{"a1": NaN}', "NaN is no JSON"),
        (b'{"a1":\n "\xff"}', "line 2, column 3: no valid UTF-8"),
    ],
)
def test_an_unusable_file_is_one_line_that_names_the_place(
    cli: Cli, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "appids.json"
    if content is not None:
        file.write_bytes(content)
    with FieldService() as service:
        ran = cli("init", "p", str(file), url=service.url)
        assert service.calls == []
    assert (ran.code, ran.err) == (2, f"appid-manager: {file}: {message}\n")
