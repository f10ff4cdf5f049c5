"""`appid-manager demo`, which judges itself by the history of its service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import Spawn

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ends_with_ok(spawn: Spawn) -> None:
    ended = spawn("demo").end(timeout=90)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("no AppID twice in an hour, none in use: ok\n")


def test_the_demo_can_be_interrupted(spawn: Spawn) -> None:
    demo = spawn("demo")
    while "has appid" not in demo.line():
        assert demo.running
    demo.send(signal.SIGINT)
    ended = demo.end()
    assert ended.code == 130
    assert "Traceback" not in ended.err


def test_make_demo_installs_only_what_the_demo_needs_and_shows_progress(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make here")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "--dry-run", "demo"]
    # A make around the suite tells its children to say more.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env.pop("MFLAGS", None)
    said = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    ).stdout
    (install,) = [line for line in said.splitlines() if " install " in line]
    assert install.endswith(' -e ".[server]"')
    assert "quiet" not in install and " -q" not in install
    assert "Setting up" in said
    assert said.splitlines()[-1] == ".venv-demo/bin/appid-manager demo"
