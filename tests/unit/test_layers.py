"""The package is layered: each file imports only from files above it, and nothing ambient is used anywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import appid_manager_client

PACKAGE = Path(appid_manager_client.__file__).parent
PROJECT = PACKAGE.parent

# From the top down. A file that isn't named here yet may stand anywhere where no circle comes of it.
ORDER = """
    _version errors models config forking clock
    boundedreading failures transport
    service waiting helpers events claims settling heartbeats journal keeper
    acquiring lease
    pool_model pool_turn pool_asking pool_calls pool_lease pool_waiters pool_shelf pool_refusals pool_plan pool
    client termination
    injection leasing decorator
    __init__ testing cli
""".split()

OF_THE_CLIENT_FOR_THE_SERVER = {"_version", "errors", "models"}


def imported(path: Path, package: str) -> Iterator[str]:
    """The dotted names of what a file imports, at any depth of it, relative ones made absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module] if node.module else above)
            if node.level == 0:
                base = node.module or ""
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def siblings(path: Path) -> set[str]:
    """The names of the package's own top-level modules that a file of it imports."""
    names = {file.stem for file in PACKAGE.glob("*.py")} | {"server", "integrations"}
    found = set()
    for name in imported(path, "appid_manager_client"):
        head, _, rest = name.partition(".")
        if head == "appid_manager_client":
            module = rest.partition(".")[0]
            found.add(module if module in names else "__init__")
    # `from . import x` names the package only to get at x.
    if "__init__" in found and path.stem != "__init__":
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None:
                if all(alias.name in names for alias in node.names):
                    continue
                return found
        found.discard("__init__")
    return found - {path.stem}


GRAPH = {path.stem: siblings(path) for path in sorted(PACKAGE.glob("*.py"))}


def test_the_graph_of_imports_is_seen_as_it_is() -> None:
    assert {"errors"} <= GRAPH["config"]
    assert {"failures", "forking", "errors", "config"} <= GRAPH["transport"]
    assert GRAPH["errors"] == set()


@pytest.mark.parametrize("module", [name for name in GRAPH if name in ORDER])
def test_a_module_imports_only_from_above_itself(module: str) -> None:
    place = ORDER.index(module)
    below = {name for name in GRAPH[module] if name in ORDER and ORDER.index(name) >= place}
    assert not below, f"{module} imports {below}, which stand below it"


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way, module])
        if module in done:
            return
        for name in GRAPH.get(module, ()):
            visit(name, (*way, module))
        done.add(module)

    for module in GRAPH:
        visit(module, ())


@pytest.mark.parametrize("path", sorted((PACKAGE / "server").glob("*.py")), ids=lambda p: p.stem)
def test_the_server_knows_only_errors_and_models_of_the_client(path: Path) -> None:
    own = {
        name.split(".")[1]
        for name in imported(path, "appid_manager_client.server")
        if name.startswith("appid_manager_client.") and name != "appid_manager_client.server"
    }
    assert own <= OF_THE_CLIENT_FOR_THE_SERVER | {"server"}


def test_nothing_is_ambient_no_file_imports_contextvars() -> None:
    files = [*PACKAGE.rglob("*.py"), *(PROJECT / "integrations").rglob("*.py")]
    assert len(files) > 20
    guilty = [
        str(path.relative_to(PROJECT))
        for path in files
        if any(name.split(".")[0] == "contextvars" for name in imported(path, "a.b.c.d"))
    ]
    assert not guilty
