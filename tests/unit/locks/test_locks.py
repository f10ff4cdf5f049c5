"""Each lock of the package guards something: taken away, a thread that stops there shows it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import appid_manager_client
from tests.support.switching import GATES, Scene, first_break
from tests.unit.locks import of_journal, of_leases, of_pools, of_the_rest, of_wire

SCENES = [
    *of_wire.SCENES,
    *of_leases.SCENES,
    *of_journal.SCENES,
    *of_pools.SCENES,
    *of_the_rest.SCENES,
]


class _Makers(ast.NodeVisitor):
    """Collects the classes (else functions) that make a lock, or inherit one."""

    def __init__(self) -> None:
        self._around: list[str] = []
        self.found: set[str] = set()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(isinstance(base, ast.Name) and base.id == "WithLock" for base in node.bases):
            self.found.add(node.name)
        self._around.append(node.name)
        self.generic_visit(node)
        self._around.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._around.append(node.name)
        self.generic_visit(node)
        self._around.pop()

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Name(id="threading"), attr=name):
                if name in ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"):
                    self.found.add(self._around[0] if self._around else "a module")
        self.generic_visit(node)


def makers_of_locks() -> set[str]:
    makers = _Makers()
    package = Path(appid_manager_client.__file__).parent
    for path in [*package.rglob("*.py"), *package.with_name("integrations").rglob("*.py")]:
        makers.visit(ast.parse(path.read_text(encoding="utf-8")))
    return makers.found - {"WithLock"}


def test_every_lock_of_the_package_has_its_scene() -> None:
    assert makers_of_locks() == {scene.lock for scene in SCENES} | GATES


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_wherever_a_thread_stops_the_lock_keeps_the_others_out(scene: Scene) -> None:
    assert (broken := first_break(scene)) is None, broken


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_without_the_lock_a_thread_that_stops_shows_it(scene: Scene) -> None:
    assert first_break(scene, without=scene.lock) is not None
