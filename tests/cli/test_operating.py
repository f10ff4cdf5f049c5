"""`release --force`, `pause` and `token`: how operators step in from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appid_manager_client.server.tokens import Role, Tokens
from appid_manager_client.testing import LocalService
from tests.cli.command import Cli
from tests.support.field import FieldService


def history(cli: Cli, product: str) -> list[dict[str, str]]:
    acts: list[dict[str, str]] = json.loads(cli("history", product, "--json").out)["acts"]
    return acts


def test_an_appid_that_is_stuck_is_released_by_force(cli: Cli, product: str) -> None:
    cli("acquire", product, "--holder", "a dead one")
    appid = f"{product}-1"
    ran = cli("release", product, appid, "--force", "--note", "its host is gone", "--by", "Ann")
    assert (ran.code, ran.out) == (0, f"released {appid} of {product}\n")
    act = history(cli, product)[0]
    assert (act["act"], act["appid"]) == ("release", appid)
    assert (act["by"], act["note"]) == ("Ann", "its host is gone")
    (row,) = [line for line in cli("history", product).out.splitlines() if "its host" in line]
    assert row.split()[2:6] == ["release", product, appid, "token,"]
    again = cli("release", product, appid, "--force", "--note", "its host is gone")
    assert again.code == 6 and "already_released" in again.err


@pytest.mark.parametrize("options", [["--force"], ["--note", "why"]])
def test_a_release_by_force_says_why(cli: Cli, product: str, options: list[str]) -> None:
    ran = cli("release", product, f"{product}-1", *options)
    assert (ran.code, ran.out) == (2, "")
    assert "--force and --note go together" in ran.err


def test_a_paused_product_grants_nothing_until_it_is_resumed(cli: Cli, product: str) -> None:
    ran = cli("pause", product, "--note", "wrong figures")
    assert (ran.code, ran.out) == (0, f"{product} is paused: nothing is granted\n")
    waits = cli("acquire", product, "--no-wait")
    assert waits.code == 3 and "the product is paused" in waits.err
    lines = cli("why", product).out.splitlines()
    assert lines[1] == (
        "paused: nothing is granted (wrong figures); 'appid-manager pause --resume PRODUCT' "
        "ends that"
    )
    assert json.loads(cli("why", product, "--json").out)["paused"] is True
    (row,) = [line for line in cli("products").out.splitlines() if line.startswith(product)]
    assert row.endswith("paused")
    assert "@" in history(cli, product)[0]["by"], "the user of this process"
    assert cli("pause", product, "--resume").out == f"{product} is not paused\n"
    assert cli("acquire", product, "--no-wait").code == 0


def test_as_json_a_pause_is_one_object(cli: Cli, product: str) -> None:
    ran = cli("pause", product, "--note", "why", "--json")
    assert json.loads(ran.out) == {"productName": product, "paused": True, "note": "why"}
    cli("pause", product, "--resume")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "{}", "--note", "x" * 501],
        ["pause", "{}", "--by", "x" * 201],
        ["pause", ""],
        ["release", "{}", "a", "--force", "--note", ""],
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    cli: Cli, product: str, arguments: list[str]
) -> None:
    assert cli(*(part.format(product) for part in arguments)).code == 2
    assert [act["act"] for act in history(cli, product)] == ["init"]


def test_a_field_service_can_neither_pause_nor_note(cli: Cli) -> None:
    with FieldService() as service:
        service.init("p", {"a": 1})
        for arguments in (["pause", "p"], ["release", "p", "a", "--force", "--note", "x"]):
            ran = cli("--url", service.url, *arguments)
            assert ran.code == 6 and "is a field service, which can't" in ran.err
        assert service.model.status()[1]["available"] == 1


@pytest.mark.parametrize("role", ["read", "use", "admin"])
def test_a_token_is_made_with_its_line_for_the_service(cli: Cli, tmp_path: Path, role: str) -> None:
    made = json.loads(cli("token", "ci", "--role", role, "--json").out)
    file = tmp_path / "tokens"
    file.write_text(made["line"])
    file.chmod(0o600)
    found = Tokens(None, str(file)).identify(made["token"].encode())
    assert found is not None and (found.name, found.role) == ("ci", Role[role.upper()])
    assert made["token"] not in made["line"]
    lines = cli("token", "ci", "--role", role).out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "token, for its holder",
        "line, for the service",
    ]
    with LocalService(tokens_file=file) as service:
        ran = cli("--url", service.url, "--token", made["token"], "products")
        assert ran.code == 0
        assert cli("--url", service.url, "--token", "another", "products").code == 4


def test_a_name_that_no_file_takes_is_refused(cli: Cli) -> None:
    ran = cli("token", "two words")
    assert (ran.code, ran.out) == (2, "") and "NAME: the name must be" in ran.err
