"""No module uses an underscore name of another module's, or of an object of another class.

What others need has a public name, or the code stands where the data is. The check reads the
source: it knows which class body an access stands in, and not what class an object has.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import appid_manager_client

PACKAGE = Path(appid_manager_client.__file__).parent
PROJECT = PACKAGE.parent
FILES = sorted([*PACKAGE.rglob("*.py"), *(PROJECT / "integrations").rglob("*.py")])

ALLOWED = {
    ("appid_manager_client/lease/exits.py", "_shutdown"): (
        "a child of multiprocessing joins its threads by it, after its finalizers; ours has to wait"
    ),
}
"""Private parts of third parties: file and name, and why there is no public way."""

# Documented parts of every named tuple; the underscore keeps them apart from its fields.
_OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
_BY_NAME = {"getattr", "setattr", "hasattr", "delattr"}


def shown(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def is_private(name: str) -> bool:
    if name in _OF_NAMED_TUPLES:
        return False
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def own_names(body: ast.ClassDef) -> set[str]:
    """The names that a class defines: methods, class attributes, slots, and what `self` gets."""
    names: set[str] = set()
    for node in ast.walk(body):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
    for statement in body.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=slots):
                names.update(
                    part.value
                    for part in ast.walk(slots)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


class _Finder(ast.NodeVisitor):
    """Collects the uses of private names with the names that the classes around them define."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: frozenset[str] = frozenset()
        self.found: list[tuple[int, str]] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        around = self._own
        self._own = around | own_names(node)
        self.generic_visit(node)
        self._own = around

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not _is_own_object(node.value):
            self._use(node, node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(
                func=ast.Name(id=function), args=[target, ast.Constant(value=str(name)), *_]
            ) if function in _BY_NAME and not _is_own_object(target):
                self._use(node, name)
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            # A module may have a private name in its own package: `from . import _options`.
            is_module = node.module is None and (self._folder / f"{alias.name}.py").exists()
            if not is_module:
                self._use(node, alias.name)

    def _use(self, node: ast.stmt | ast.expr, name: str) -> None:
        if is_private(name) and name not in self._own:
            self.found.append((node.lineno, name))


def _is_own_object(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")):
            return True
    return False


def reaches(source: str, folder: Path = PACKAGE) -> list[tuple[int, str]]:
    """The line and the name of each use of a private name that belongs to somebody else."""
    finder = _Finder(folder)
    finder.visit(ast.parse(source))
    return sorted(finder.found)


REACHES = {path: reaches(path.read_text(encoding="utf-8"), path.parent) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_module_uses_no_private_name_of_another(path: Path) -> None:
    file = shown(path)
    found = [
        f"{file}:{line}: {name}" for line, name in REACHES[path] if (file, name) not in ALLOWED
    ]
    assert not found, "give it a public name, or move the code to the data:\n" + "\n".join(found)


def test_every_exception_is_needed() -> None:
    used = {(shown(path), name) for path, found in REACHES.items() for _, name in found}
    assert ALLOWED.keys() <= used


@pytest.mark.parametrize(
    "source",
    [
        "lease._state",
        "def f(self): return self._keeper._claims",
        "class A:\n def f(self, other): other._x",
        "lease._state = 1",
        "getattr(lease, '_state')",
        "from .keeper import _claims",
        "from . import _claims",
        "import signal\nsignal._installed",
    ],
)
def test_a_use_of_what_belongs_to_another_is_found(source: str) -> None:
    assert len(reaches(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "lease.__class__.__name__",
        "class A:\n def f(self): return self._x, super()._x",
        "class A:\n def __init__(self): self._x = 1\n def __eq__(self, other): return other._x",
        "class A:\n __slots__ = ('_x',)\n def f(self, other): other._x",
        "class A:\n _x: int\n def f(self, other): other._x",
        "class A:\n def _f(self): pass\n @classmethod\n def g(cls): return cls()._f()",
        "from . import _lazy",
        "from ._lazy import lazily",
    ],
)
def test_a_use_of_what_is_ones_own_is_not_found(source: str) -> None:
    assert reaches(source) == []
