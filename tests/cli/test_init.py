"""`appid-manager init`: the file that it reads, and what it keeps of a product."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Cli, Ran
from tests.support.field import FieldService


def test_it_reads_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"in-1": "v"}')))
    ran = cli("init", "from-stdin", "-")
    assert (ran.code, ran.out) == (0, "from-stdin has 1 AppID now\n")


@pytest.mark.parametrize("how", [(), ("--keep-state",)])
def test_an_appid_stays_in_use(
    cli: Cli, product: str, tmp_path: Path, how: tuple[str, ...]
) -> None:
    cli("acquire", product)
    file = tmp_path / "more.json"
    file.write_text(json.dumps({f"{product}-1": "v1", f"{product}-3": "v3"}))
    ran = cli("init", product, str(file), *how)
    assert ran == Ran(0, f"{product} has 2 AppIDs now\n", "")
    assert "1 free, 1 in use" in cli("status", product).out


def test_with_reset_every_appid_is_free(cli: Cli, product: str, tmp_path: Path) -> None:
    cli("acquire", product)
    ran = cli("init", product, str(tmp_path / "appids.json"), "--reset", "--json")
    assert (ran.code, json.loads(ran.out)["keepState"]) == (0, False)
    assert "2 free, 0 in use" in cli("status", product).out


@pytest.fixture
def field_service(tmp_path: Path) -> Iterator[FieldService]:
    """A field service with `a1` and `a2` of `p`, `a1` in use; a file has `a1` and `a3`."""
    (tmp_path / "appids.json").write_text('{"a1": 1, "a3": 3}')
    with FieldService(auth_token=None) as service:
        service.init("p", {"a1": 1, "a2": 2})
        service.init("q", {"b1": 1})
        service.model.acquire({"productName": "p"})
        yield service


def test_a_field_service_is_refused_while_it_would_end_leases(
    cli: Cli, field_service: FieldService, tmp_path: Path
) -> None:
    ran = cli("init", "p", str(tmp_path / "appids.json"), url=field_service.url)
    assert field_service.calls_of("init") == []
    assert (ran.code, ran.out) == (2, "")
    assert "1 AppID of p in use (a1)" in ran.err and "--reset; nothing was sent" in ran.err
    assert ran.err.count("\n") == 1


def test_with_reset_a_field_service_forgets_its_leases(
    cli: Cli, field_service: FieldService, tmp_path: Path
) -> None:
    ran = cli("init", "p", str(tmp_path / "appids.json"), "--reset", url=field_service.url)
    assert (ran.code, ran.out) == (0, "p has 2 AppIDs now\n")
    assert field_service.in_use() == []


def test_of_a_field_service_what_other_products_have_in_use_does_not_matter(
    cli: Cli, field_service: FieldService, tmp_path: Path
) -> None:
    ran = cli("init", "q", str(tmp_path / "appids.json"), url=field_service.url)
    assert ran == Ran(0, "q has 2 AppIDs now\n", "")


def test_on_a_field_service_a_warning_says_what_can_be_handed_out_again_in_this_hour(
    cli: Cli, field_service: FieldService, tmp_path: Path
) -> None:
    field_service.model.release({"productName": "p", "appid": "a1"})
    ran = cli("init", "p", str(tmp_path / "appids.json"), url=field_service.url)
    assert ran.code == 0
    assert "warning: 1 AppID of p used in this hour can be handed out again" in ran.err


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
