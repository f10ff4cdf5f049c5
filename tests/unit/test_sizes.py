"""No file of the package has over 400 lines, and no function over 50 besides its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("appid_manager_client/**/*.py"), *ROOT.glob("integrations/**/*.py")])
LARGEST_FILE = 400
LONGEST_FUNCTION = 50


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            said = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - said


def test_files_are_small() -> None:
    assert len(FILES) > 150
    sizes = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in FILES}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}


def test_functions_are_short() -> None:
    sizes = {f"{p.relative_to(ROOT)}: {name}": n for p in FILES for name, n in _functions(p)}
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}
