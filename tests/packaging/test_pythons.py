"""The Pythons and the versions that are claimed are those that nox runs the suite with."""

from __future__ import annotations

import contextlib
import json
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLAIM = "Programming Language :: Python :: 3."


@pytest.fixture(scope="module")
def lowest_versions() -> Callable[[dict[str, Any]], list[str]]:
    """That of noxfile.py, which nox has run once only, and in its own folder."""
    found: Callable[[dict[str, Any]], list[str]]
    with contextlib.chdir(ROOT):
        found = runpy.run_path(str(ROOT / "noxfile.py"))["lowest_versions"]
    return found


def test_every_python_that_is_claimed_has_a_session() -> None:
    claimed = [c.split()[-1] for c in PROJECT["classifiers"] if c.startswith(CLAIM)]
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list", "--json", "-s", "tests", "lowest"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    sessions = [(session["name"], session["python"]) for session in json.loads(listed.stdout)]
    assert sessions == [*(("tests", python) for python in claimed), ("lowest", claimed[0])]
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_the_lowest_versions_are_the_bounds_that_are_declared(
    lowest_versions: Callable[[dict[str, Any]], list[str]],
) -> None:
    declared = {
        "name": "itself",
        "dependencies": ["requests>=2.32.2", "wrapt>=1.17"],
        "optional-dependencies": {
            "rq": ["rq>=2.6,<4"],
            "server": ["uvloop>=0.21; sys_platform != 'win32'", "requests>=2.4"],
            "dev": ["itself[rq,server]", "coverage[toml]>=7.6"],
        },
    }
    assert lowest_versions(declared) == [
        "coverage==7.6",
        "requests==2.32.2",
        "rq==2.6",
        'uvloop==0.21; sys_platform != "win32"',
        "wrapt==1.17",
    ]


def test_everything_that_is_declared_has_a_lower_bound(
    lowest_versions: Callable[[dict[str, Any]], list[str]],
) -> None:
    lowest = " ".join(lowest_versions(PROJECT))  # which fails for one without
    for name in ("requests", "urllib3", "wrapt", "SQLAlchemy", "celery", "rq", "pytest", "nox"):
        assert f"{name}==" in lowest
