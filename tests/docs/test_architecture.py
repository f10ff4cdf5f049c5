"""What the pages for developers name exists: files, folders, modules, classes and their members."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "appid_manager_client"
PAGES = ["docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md", "SECURITY.md"]
CONTRACT = "docs/contract.md"  # its fields and headers look like names of the code, and are none

PATH = re.compile(r"[\w./-]+\.(?:py|md|toml|cfg|yaml)|\.?[\w./-]+/")
NAME = re.compile(r"[A-Z]\w*[a-z]\w*(?:\.\w+)*|[a-z_]+(?:\.\w+)+")


def words(page: str, pattern: re.Pattern[str]) -> list[str]:
    """What stands in backticks and looks like `pattern`; not what is in a block of code."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.M)
    found = (word.removesuffix("()") for word in re.findall(r"`([^`\n]+)`", text))
    return sorted({word for word in found if pattern.fullmatch(word)})


def definitions() -> dict[str, set[str]]:
    """What each module and each class of the package defines, by its own name; and builtins."""
    found = {name: set(dir(value)) for name, value in vars(builtins).items()}
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "integrations").glob("*.py")]
    for path in files:
        tree = ast.parse(path.read_text("utf-8"))
        found.setdefault(path.stem, set()).update(members(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(members(node))
    return found


def members(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in scope.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


DEFINITIONS = definitions()


@pytest.mark.parametrize("page", [*PAGES, CONTRACT])
def test_every_path_exists(page: str) -> None:
    bases = (ROOT, PACKAGE)
    lost = [path for path in words(page, PATH) if not any((b / path).exists() for b in bases)]
    assert not lost


@pytest.mark.parametrize("page", PAGES)
def test_every_name_exists(page: str) -> None:
    lost = []
    for name in words(page, NAME):
        owner, _, member = name.partition(".")
        known = owner in DEFINITIONS and (not member or member in DEFINITIONS[owner])
        if not known and not PATH.fullmatch(name):
            lost.append(name)
    assert not lost


def test_names_and_paths_are_found_in_the_pages() -> None:
    assert "lease/keeper.py" in words("docs/architecture.md", PATH)
    assert "AcquirePlan" in words("docs/architecture.md", NAME)
    assert "claim" in DEFINITIONS
    assert {"open", "release"} <= DEFINITIONS["LeaseKeeper"]
