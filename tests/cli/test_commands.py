"""Each command's output and exit code, against a real service."""

from __future__ import annotations

import io
import json
import sys
import uuid
from pathlib import Path

import pytest

from appid_manager_client import __version__
from appid_manager_client.testing import LocalService
from tests.cli.conftest import TOKEN, Cli
from tests.support.field import FieldService


@pytest.fixture
def product(cli: Cli, tmp_path: Path) -> str:
    """A product of two AppIDs that nobody uses yet."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "appids.json"
    file.write_text(json.dumps({f"{name}-1": "v1", f"{name}-2": 2}))
    assert cli("init", name, str(file)).code == 0
    return name


def test_health_tells_the_services_clock_and_hour(cli: Cli, shared_service: LocalService) -> None:
    ran = cli("health")
    assert ran.code == 0
    assert ran.out.startswith(f"{shared_service.url} is healthy\n")
    assert "its hour    ends at " in ran.out


def test_health_as_json_is_one_object(cli: Cli, shared_service: LocalService) -> None:
    ran = cli("--json", "health")
    found = json.loads(ran.out)
    assert (found["status"], found["hourEnd"]) == ("healthy", shared_service.hour.end)


def test_health_of_a_service_of_the_field_says_that_it_is_one(cli: Cli) -> None:
    with FieldService() as service:
        ran = cli("health", url=service.url)
    assert ran.code == 0
    assert "no: a service of the field" in ran.out


def test_health_of_nothing_is_unavailable_in_one_line(cli: Cli) -> None:
    with FieldService() as service, service.refusing():
        ran = cli("health", url=service.url)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == (
        f"appid-manager: {service.url} (GET /health): connection refused; is the service running there? "
        "(--url or APPID_MANAGER_URL says where)\n"
    )


def test_acquire_prints_the_appid_a_tab_and_the_vid(cli: Cli, product: str) -> None:
    assert cli("acquire", product).out == f"{product}-1\tv1\n"


def test_acquire_as_json_has_the_names_of_the_wire(cli: Cli, product: str) -> None:
    found = json.loads(cli("--json", "acquire", product).out)
    assert (found["appid"], found["vid"], found["productName"]) == (f"{product}-1", "v1", product)
    assert isinstance(found["starttime"], int)


def test_acquire_for_a_shell_quotes_what_it_assigns(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text(json.dumps({"it's; rm": "v $x"}))
    cli("init", "odd", str(file))
    lines = cli("acquire", "odd", "--shell").out.splitlines()
    assert lines[:2] == ["APPID='it'\"'\"'s; rm'", "APPID_VID='v $x'"]


@pytest.mark.parametrize("how", [("--no-wait",), ("--timeout", "0"), ("--timeout", "5")])
def test_an_acquire_that_gets_nothing_in_time_exits_with_3(
    cli: Cli, product: str, how: tuple[str, ...]
) -> None:
    cli("acquire", product), cli("acquire", product)
    ran = cli("acquire", product, *how)
    assert (ran.code, ran.out) == (3, "")
    assert "the next can be free at" in ran.err
    assert ran.err.count("\n") == 1


def test_an_error_as_json_tells_its_kind_and_when_to_come_again(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    cli("acquire", product), cli("acquire", product)
    facts = json.loads(cli("--json", "acquire", product, "--no-wait").err)
    assert (facts["error"], facts["exit"]) == ("NoAppIdAvailable", 3)
    assert facts["availableAt"] == shared_service.hour.end


def test_an_appid_that_can_not_be_printed_is_given_back(
    cli: Cli, product: str, shared_service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    ran = cli("acquire", product)
    assert ran.code == 1
    assert [e["status"] for e in shared_service.status(product)["appids"]] == [
        "used_in_current_hour",
        "available",
    ]


def test_release_says_whether_it_released(cli: Cli, product: str) -> None:
    appid = cli("acquire", product).out.split("\t")[0]
    assert cli("release", product, appid).out == f"released {appid} of {product}\n"
    again = cli("release", product, appid)
    assert (again.code, again.out) == (0, f"{appid} of {product} was released already\n")


def test_a_release_of_what_was_never_acquired_is_refused_with_6(cli: Cli, product: str) -> None:
    assert cli("release", product, f"{product}-1").code == 6


def test_status_shows_each_appid_and_its_state(cli: Cli, product: str) -> None:
    cli("acquire", product)
    lines = cli("status", "--product", product).out.splitlines()
    assert lines[0] == f"{product}: 2 AppIDs, 1 free, 1 in use, 0 used this hour"
    assert lines[1].split() == ["APPID", "VID", "STATE", "ACQUIRED", "RELEASED"]
    assert lines[2].split()[:4] == [f"{product}-1", "v1", "in", "use"]
    assert lines[3].split() == [f"{product}-2", "2", "free", "-", "-"]


def test_status_as_json_is_what_the_service_sent(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    ran = cli("--json", "status", "--product", product)
    assert json.loads(ran.out) == shared_service.status(product)


def test_the_status_of_an_unknown_product_is_refused_with_6(cli: Cli) -> None:
    ran = cli("status", "--product", "typo")
    assert (ran.code, ran.out) == (6, "")
    assert "knows no product 'typo'" in ran.err


def test_a_wrong_token_exits_with_4_and_isn_t_shown(cli: Cli) -> None:
    ran = cli("--token", "some-wrong-token", "-vv", "status", token=None)
    assert ran.code == 4
    assert "check the token (--token or APPID_MANAGER_TOKEN)" in ran.err
    assert "some-wrong-token" not in ran.err


def test_the_token_is_in_no_detailed_log(cli: Cli, product: str) -> None:
    # The fixture looks for it in all that is written.
    assert cli("-vv", "acquire", product).code == 0
    assert cli("--token", TOKEN, "-vv", "status", token=None).code == 0


def test_init_reads_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"in-1": "v"}')))
    ran = cli("init", "from-stdin", "-")
    assert (ran.code, ran.out) == (0, "from-stdin has 1 AppID now\n")


def test_init_that_keeps_state_leaves_an_appid_in_use(
    cli: Cli, product: str, tmp_path: Path
) -> None:
    cli("acquire", product)
    file = tmp_path / "more.json"
    file.write_text(json.dumps({f"{product}-1": "v1", f"{product}-3": "v3"}))
    assert cli("init", product, str(file), "--keep-state").code == 0
    assert "1 free, 1 in use" in cli("status", "--product", product).out


def test_init_that_is_to_keep_state_sends_nothing_where_that_would_be_ignored(
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
    ("content", "complaint"),
    [
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
def test_a_bad_file_for_init_is_one_line_that_names_the_place(
    cli: Cli, tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "appids.json"
    file.write_bytes(content)
    with FieldService() as service:
        ran = cli("init", "p", str(file), url=service.url)
        assert service.calls == []
    assert (ran.code, ran.err) == (2, f"appid-manager: {file}: {complaint}\n")


def test_a_missing_file_for_init_is_named(cli: Cli, tmp_path: Path) -> None:
    ran = cli("init", "p", str(tmp_path / "none"))
    assert (ran.code, ran.err) == (
        2,
        f"appid-manager: {tmp_path / 'none'}: no such file or directory\n",
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["acquire"], "the following arguments are required: PRODUCT"),
        (["statu"], "unknown command; did you mean 'status'?"),
        (["--timeout", "nan", "health"], "must be 0 or more seconds, not 'nan'"),
        (["acquire", "p", "--max-retries", "x"], "invalid whole number value: 'x'"),
        (["--url", "ftp://x", "health"], "--url must look like http://host:port, not 'ftp://x'"),
        (["acquire", " "], "product_name is required"),
        (["--token", "", "status"], "--token holds no usable token"),
        (["--token", " ", "serve"], "--token or APPID_MANAGER_TOKEN must be printable ASCII"),
        (["serve", "--hour-seconds", "0"], "--hour-seconds must be a whole number from 1 to 86400"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(
    cli: Cli, arguments: list[str], complaint: str
) -> None:
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--token", TOKEN],
        ["status", f"--token={TOKEN}"],
        ["acquire", "--token", TOKEN],
        ["--tokn", TOKEN, "status"],
    ],
)
def test_a_misplaced_token_is_not_repeated(cli: Cli, arguments: list[str]) -> None:
    # The fixture looks for it in all that is written.
    assert cli(*arguments).code == 2


def test_a_global_option_after_the_command_is_told_where_it_belongs(cli: Cli) -> None:
    assert "--json is a global option: it stands before the command" in cli("status", "--json").err


def test_control_characters_of_a_service_do_not_reach_the_terminal(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "appids.json"
    file.write_text(json.dumps({"evil\x1b[2J": "v\r"}))
    cli("init", "evil", str(file))
    ran = cli("status", "--product", "evil")
    assert "evil\ufffd[2J" in ran.out
    assert "\x1b" not in ran.out and "\r" not in ran.out


def test_version_names_the_program(cli: Cli) -> None:
    assert cli("--version").out == f"appid-manager {__version__}\n"
