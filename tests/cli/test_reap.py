"""`appid-manager reap`: gives back what a killed `run` of this host held at a field service."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Cli, Ran, Spawn
from tests.support.faults import Fault
from tests.support.field import FIELD_TOKEN, FieldService


@pytest.fixture
def service_of_killed_run(spawn: Spawn, tmp_path: Path) -> Iterator[FieldService]:
    """A service where a killed process holds `a1`, which the journal in `tmp_path` names."""
    environment = {
        **os.environ,
        "APPID_MANAGER_TOKEN": FIELD_TOKEN,
        "APPID_MANAGER_JOURNAL": str(tmp_path),
    }
    command = ("sh", "-c", "echo $$; exec sleep 60")
    with FieldService() as service:
        service.init("p", {"a1": 1})
        options = ("--url", service.url, "run", "p", "--holder", "nightly")
        ran = spawn(*options, "--", *command, env=environment)
        left_behind = int(ran.line())
        ran.kill()
        os.kill(left_behind, signal.SIGKILL)
        assert service.in_use() == ["a1"]
        yield service


def test_what_a_killed_run_held_is_given_back(
    cli: Cli, service_of_killed_run: FieldService, tmp_path: Path
) -> None:
    service = service_of_killed_run
    ran = cli("reap", "--journal", str(tmp_path), url=service.url, token=FIELD_TOKEN)
    assert ran == Ran(0, "gave back a1 of p (held by nightly)\n", "")
    assert service.in_use() == []


def test_as_json_it_is_a_list(
    cli: Cli,
    service_of_killed_run: FieldService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", str(tmp_path))
    ran = cli("--json", "reap", url=service_of_killed_run.url, token=FIELD_TOKEN)
    assert json.loads(ran.out) == [
        {"appid": "a1", "productName": "p", "holder": "nightly", "released": True}
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_repeats_through_an_outage_until_a_signal(
    spawn: Spawn, service_of_killed_run: FieldService, tmp_path: Path, number: int
) -> None:
    service = service_of_killed_run
    options = ("--url", service.url, "--token", FIELD_TOKEN)
    with service.refusing():
        reaping = spawn(*options, "reap", "--journal", str(tmp_path), "--every", "0.05")
        assert "connection refused" in reaping.error_line()
    assert reaping.line() == "gave back a1 of p (held by nightly)"
    assert service.in_use() == []
    reaping.send(number)
    ended = reaping.end()
    assert (ended.code, ended.out) == (128 + number, "")


@pytest.mark.parametrize("fault", [Fault.HTML, Fault.INTERNAL_ERROR])
def test_what_answers_in_place_of_the_service_does_not_end_the_repetition(
    spawn: Spawn, service_of_killed_run: FieldService, tmp_path: Path, fault: Fault
) -> None:
    service = service_of_killed_run
    service.faults.queue("status", fault, times=5)
    options = ("--url", service.url, "--token", FIELD_TOKEN)
    reaping = spawn(*options, "reap", "--journal", str(tmp_path), "--every", "0.05", "--json")
    assert [one["appid"] for one in json.loads(reaping.line())] == ["a1"]
    reaping.send(signal.SIGTERM)
    assert service.url in reaping.end().err


def test_a_refused_token_ends_the_repetition(
    cli: Cli, service_of_killed_run: FieldService, tmp_path: Path
) -> None:
    options = ("--journal", str(tmp_path), "--every", "0.05")
    assert cli("reap", *options, url=service_of_killed_run.url, token="wrong-token").code == 4


def test_with_nothing_to_give_back_it_says_so(cli: Cli, tmp_path: Path) -> None:
    assert cli("reap", "--journal", str(tmp_path)).out == "nothing to give back\n"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_journal_must_be_a_directory_s_name(cli: Cli, name: str) -> None:
    ran = cli("reap", "--journal", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"appid-manager: --journal must name a directory, not {name!r}\n"


def test_a_journal_that_can_not_be_written_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = cli("reap", "--journal", str(file))
    assert ran.code == 2
    assert str(file) in ran.err and ran.err.count("\n") == 1
