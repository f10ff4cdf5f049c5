"""No line of any text of the project is longer than 100 characters."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 100
TEXTS = ["*.py", "*.md", "*.toml", "*.cfg", "*.yaml", "*.ini", "Makefile", ".ci/run", ".gitignore"]


def test_no_line_is_too_long() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *TEXTS], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    assert len(paths) > 300
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in paths
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST
    ]
    assert not long
