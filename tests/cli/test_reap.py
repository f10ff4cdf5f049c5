"""`appid-manager reap`: what a killed `run` held on this host is given back, on a service that can't end leases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.field import FIELD_TOKEN, FieldService


def _killed_run(
    spawn: Callable[..., subprocess.Popen[str]], service: FieldService, journal: Path
) -> None:
    environment = {
        **os.environ,
        "APPID_MANAGER_TOKEN": FIELD_TOKEN,
        "APPID_MANAGER_JOURNAL": str(journal),
    }
    command = ("sh", "-c", "echo $$; exec sleep 60")
    options = ("--url", service.url, "run", "p", "--holder", "nightly", "--", *command)
    ran = spawn(*options, env=environment)
    assert ran.stdout is not None
    left_behind = int(ran.stdout.readline())
    ran.kill()
    ran.wait()
    os.kill(left_behind, signal.SIGKILL)


def test_what_a_killed_run_held_is_given_back(
    spawn: Callable[..., subprocess.Popen[str]], cli: Cli, tmp_path: Path
) -> None:
    with FieldService() as service:
        service.init("p", {"a1": 1})
        _killed_run(spawn, service, tmp_path)
        assert service.in_use() == ["a1"]
        ran = cli("reap", "--journal", str(tmp_path), url=service.url, token=FIELD_TOKEN)
        assert (ran.code, ran.out, ran.err) == (0, "gave back a1 of p (held by nightly)\n", "")
        assert service.in_use() == []


def test_as_json_it_is_a_list(
    spawn: Callable[..., subprocess.Popen[str]],
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", str(tmp_path))
    with FieldService() as service:
        service.init("p", {"a1": 1})
        _killed_run(spawn, service, tmp_path)
        ran = cli("--json", "reap", url=service.url, token=FIELD_TOKEN)
    assert json.loads(ran.out) == [
        {"appid": "a1", "productName": "p", "holder": "nightly", "released": True}
    ]


def test_with_nothing_to_give_back_it_says_so(cli: Cli, tmp_path: Path) -> None:
    assert cli("reap", "--journal", str(tmp_path)).out == "nothing to give back\n"


def test_a_journal_that_can_not_be_written_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = cli("reap", "--journal", str(file))
    assert ran.code == 2
    assert str(file) in ran.err and ran.err.count("\n") == 1
