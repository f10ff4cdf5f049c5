"""The pages are made without a warning, and hold every public name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import appid_manager_client

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(target / "trees"), str(DOCS), str(target)],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_every_public_name_is_there_with_its_docstring(made: Path) -> None:
    inventory = InventoryFile.loads((made / "objects.inv").read_bytes(), uri="")
    named = {name for kind, items in inventory.data.items() if "py:" in kind for name in items}
    public = set(appid_manager_client.__all__) - {"__version__"}
    assert {f"appid_manager_client.{name}" for name in public} <= named


def test_programs_that_read_find_every_page(made: Path) -> None:
    told = (made / "llms.txt").read_text(encoding="utf-8")
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert set(re.findall(r"\]\((\w+)\.md\)", told)) == pages


def test_every_page_is_reached_from_the_first_one(made: Path) -> None:
    first = (made / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        if page.name != "index.md":
            assert f'href="{page.stem}.html"' in first
