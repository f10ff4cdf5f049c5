"""The package is layered: a module imports only from below itself, and nothing ambient is used.

The order of every package stands here, from the bottom up. A module that isn't named fails the
test: a new one gets its place with the commit that brings it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import appid_manager_client

PACKAGE = Path(appid_manager_client.__file__).parent
PROJECT = PACKAGE.parent
ROOT = "appid_manager_client"

ORDER = {
    "": (
        "_version _lazy text secret errors events checks fieldcalls runtime config wire"
        " lease journal pool administration client default decorator __init__ server testing"
        " cli __main__ integrations"
    ),
    "runtime": "forks tracing time identity signals executor coroutines worker",
    "wire": (
        "models answers responses failures sending deadlines interception proxies connections"
        " transport clock retry resets api products"
    ),
    "journal": "lockedfile record journal reaping",
    "lease": (
        "claim held options agenda ledger heartbeat release reports giveback"
        " waitlog exits keeper place waiting steps acquirer unmanaged lease"
    ),
    "pool": (
        "places model hour demand queue slots outlook decision turn plan calls lender lease pool"
    ),
    "decorator": "injection bare results copies wrappers decorator",
    "server": (
        "hours clock log authority settings tokens operations records line store opening http run"
        " __init__"
    ),
    "server.store": (
        "tables hot contract transaction meta fences registry migrations schema sqlite_files"
        " sqlite_errors sqlite postgres_errors bounds postgres_sql postgres_watch postgres_connect"
        " postgres_reading postgres_commits postgres_whole postgres engines start whole copying"
        " endings request_ids acts doubt granting pausing line_rows in_line acquire release reserve"
        " heartbeat init pruning waiters status history tending store batching"
    ),
    "server.store.migrations": "versions steps",
    "server.store.migrations.versions": "schema_1 schema_2 schema_3",
    "server.http": (
        "answers listings authentication origins slowing admission condition requests limits"
        " connection described openapi call events endpoints h11_protocol httptools_protocol"
        " holding metrics work calls pages app"
    ),
    "server.http.pages": "sessions strip forms rendering looking acting site __init__",
    "cli": (
        "exits output errors variables parser service_arguments operator_arguments arguments help"
        " completion countdown connection entries said health status products why history line"
        " appids_file init acquire reserve pause token reap database serve backup migrate terminal"
        " group relay run demo program __main__"
    ),
    "integrations": "_journal _sweeper _rescheduling _options celery rq otel prometheus"
    " _pytest_waits _pytest_leases pytest _pytest_entry",
}
"""The modules and packages of each package, from the bottom up.

An `__init__` that is named here does something; the others only hand names on, lazily.
"""

PICKLE_ALIASES = {
    "claims": "lease.claim",
    "injection": "decorator.injection",
    "models": "wire.models",
    "pool_model": "pool.model",
    "reaping": "journal.reaping",
}
"""Modules of version 0.1 that pickles name: each hands on what moved, and nobody imports it."""

OF_THE_CLIENT_FOR_THE_SERVER = {"_version", "checks", "errors", "secret", "server", "text"}

LONGEST_CHAIN = 10


@dataclass(frozen=True)
class Module:
    """One file: its dotted name below the package, and the files that it imports."""

    name: str
    path: Path

    @property
    def package(self) -> str:
        return self.name.rpartition(".")[0]


def modules() -> dict[str, Module]:
    """All files of the package, `integrations` in its place, by their names below the package."""
    found = {}
    for base, prefix in ((PACKAGE, ()), (PROJECT / "integrations", ("integrations",))):
        for path in sorted(base.rglob("*.py")):
            name = ".".join((*prefix, *path.relative_to(base).with_suffix("").parts))
            found[name] = Module(name, path)
    return found


MODULES = modules()


def dotted_imports(path: Path, package: str) -> Iterator[str]:
    """What a file imports, at any depth of it, as absolute dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, node.module] if node.module else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def module_of(dotted: str) -> str | None:
    """The file that an absolute dotted name stands for, or stands in; `None`: not one of ours."""
    if dotted != ROOT and not dotted.startswith(f"{ROOT}."):
        return None
    name = dotted[len(ROOT) + 1 :]
    while name:
        for candidate in (name, f"{name}.__init__"):
            if candidate in MODULES:
                return candidate
        name = name.rpartition(".")[0]
    return "__init__"


def imports_of(module: Module) -> set[str]:
    package = f"{ROOT}.{module.package}" if module.package else ROOT
    found = {module_of(dotted) for dotted in dotted_imports(module.path, package)}
    return {name for name in found if name is not None and name != module.name}


def hands_on_lazily(name: str) -> bool:
    return name.endswith("__init__") and "lazily(" in MODULES[name].path.read_text("utf-8")


# What a lazy __init__ hands on is loaded by whoever uses it: those arrows are not the package's.
GRAPH = {
    name: set() if hands_on_lazily(name) else imports_of(module) for name, module in MODULES.items()
}


def place(name: str) -> tuple[int, ...]:
    """Where a module stands: its place in each package from the root down."""
    places: list[int] = []
    package = ""
    parts = name.split(".")
    for part in parts:
        places.append(ORDER[package].split().index(part))
        package = f"{package}.{part}" if package else part
    return tuple(places)


def packages() -> dict[str, set[str]]:
    """The graph of what stands side by side at the root: single modules, and packages as one."""
    graph: dict[str, set[str]] = {}
    for name, targets in GRAPH.items():
        head = name.partition(".")[0]
        graph.setdefault(head, set()).update(
            target.partition(".")[0] for target in targets if target.partition(".")[0] != head
        )
    return graph


def circles(graph: dict[str, set[str]]) -> list[str]:
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            found.append(" -> ".join([*way[way.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    best: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in best:
            behind = (chain(target) for target in sorted(graph.get(name, ())))
            best[name] = [name, *max(behind, key=len, default=[])]
        return best[name]

    return max((chain(name) for name in graph), key=len)


def test_the_graph_of_imports_is_seen_as_it_is() -> None:
    assert {"claim", "heartbeat"} <= {n.partition(".")[2] for n in GRAPH["lease.keeper"]}
    assert {"wire.failures", "runtime.forks", "errors", "config"} <= GRAPH["wire.transport"]
    assert {"server.operations", "server.http.answers"} <= GRAPH["server.http.calls"]
    assert "__init__" in GRAPH["integrations._journal"]
    assert GRAPH["text"] == set()


def test_a_circle_is_found_wherever_it_closes() -> None:
    assert circles({"a": {"b.c"}, "b.c": {"d"}, "d": {"a"}}) == ["a -> b.c -> d -> a"]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_has_a_place(name: str) -> None:
    if name in PICKLE_ALIASES or (name.endswith("__init__") and not GRAPH[name]):
        return
    place(name)  # raises for one that ORDER doesn't name


@pytest.mark.parametrize("package", sorted(ORDER))
def test_every_place_has_a_module(package: str) -> None:
    prefix = f"{package}." if package else ""
    for name in ORDER[package].split():
        there = {f"{prefix}{name}", f"{prefix}{name}.__init__"}
        assert there & MODULES.keys(), f"there is no {prefix}{name}"


@pytest.mark.parametrize("name", sorted(set(GRAPH) - PICKLE_ALIASES.keys()))
def test_a_module_imports_only_from_below_itself(name: str) -> None:
    above = {
        target
        for target in GRAPH[name]
        if not (target.endswith(".__init__") and hands_on_lazily(target))
        and place(target) >= place(name)
    }
    assert not above, f"{name} imports {above}, which don't stand below it"


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_a_module_names_the_module_that_it_needs_not_a_package(name: str) -> None:
    """A package's `__init__` is for users: it hides what an importer really needs."""
    through = {t for t in GRAPH[name] if t.endswith(".__init__") and hands_on_lazily(t)}
    assert not through


@pytest.mark.parametrize("alias", sorted(PICKLE_ALIASES))
def test_an_alias_only_hands_on_what_moved_and_nobody_imports_it(alias: str) -> None:
    assert GRAPH[alias] == {PICKLE_ALIASES[alias]}
    assert not [name for name, targets in GRAPH.items() if alias in targets]


def test_no_import_goes_in_a_circle() -> None:
    assert circles(GRAPH) == []
    assert circles(packages()) == []


def test_no_chain_of_imports_is_long() -> None:
    # Without `python -m appid_manager_client`, which only starts what is below it.
    graph = {name: targets for name, targets in packages().items() if name != "__main__"}
    chain = longest_chain(graph)
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("server.")))
def test_the_server_knows_only_errors_and_checks_of_the_client(name: str) -> None:
    heads = {target.partition(".")[0] for target in GRAPH[name]}
    assert heads <= OF_THE_CLIENT_FOR_THE_SERVER


def test_nothing_is_ambient_no_file_imports_contextvars() -> None:
    assert len(MODULES) > 60
    guilty = [
        name
        for name, module in MODULES.items()
        if any(
            found.split(".")[0] == "contextvars" for found in dotted_imports(module.path, "a.b.c")
        )
    ]
    assert not guilty
