"""Each package that is imported is declared, and bounded above where more than its API is used.

A class of a third party that is extended counts as more than its API: what the class calls of
itself may change with any release.
"""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from appid_manager_client.wire.interception import PARTS
from tests.unit.test_reaching_in import is_private, own_names

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "appid_manager_client"
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "integrations").rglob("*.py")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

EXTENDED = {
    "celery.Task": "runs the body, and decides about its retries",
    "celery.worker.request.Request": "hears of a child that was killed or ran out of time",
    "requests.adapters.HTTPAdapter": "sets up the pool whose answers get one deadline",
    "rq.worker.BaseWorker": "looks after the child of a job, and when it died",
    "rq.worker.SimpleWorker": "as above",
    "rq.worker.SpawnWorker": "as above",
    "rq.worker.Worker": "as above",
    "uvicorn.Server": "says when it is ready, and what a signal to stop means",
    "uvicorn.protocols.http.h11_impl.H11Protocol": "answers in JSON what is no HTTP",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": "as above, and upgrades",
    "wrapt.FunctionWrapper": "is pickled, copied and shown as its function would be",
}
"""Classes of others that are extended, and what for."""

PRIVATE = {
    ("uvicorn", "_should_upgrade"): "asked about an offer of another protocol",
    ("uvicorn", "_unset_keepalive_if_required"): "called for the data that came",
}
"""Names with an underscore that a class of another package has, where ours extends it."""

REPLACED = {
    "requests": "its functions are compared with the original ones",
    "urllib3": "`ConnectionCls` and `response_class` bound the time of an answer",
}
"""Packages of which single parts are looked at or replaced in place."""

MADE_TO_BE_EXTENDED = {"prometheus_client.registry.Collector", "pydantic.BaseModel"}

OF_LATER_PYTHONS = {"annotationlib"}

IMPORTED_AS = {
    "opentelemetry-api": "opentelemetry",
    "prometheus-client": "prometheus_client",
}

BROUGHT_ALONG = {"h11": "uvicorn"}
"""Imported beside the package that requires it."""


def bounds() -> dict[str, Requirement]:
    """Each declared requirement, by the name under which it is imported."""
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    found = [Requirement(text) for text in texts]
    return {IMPORTED_AS.get(req.name, req.name.lower()): req for req in found}


BOUNDS = bounds()


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports of third parties: the name in the file, and the dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            found = [(alias.asname or alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            found = [(a.asname or a.name, f"{module}.{a.name}") for a in node.names]
        for name, dotted in found:
            package = dotted.partition(".")[0]
            if package not in {*sys.stdlib_module_names, *OF_LATER_PYTHONS, "appid_manager_client"}:
                yield name, dotted


def extended(path: Path) -> Iterator[tuple[ast.ClassDef, str]]:
    """The classes of a file that extend one of a third party, and the dotted name of that one."""
    names = dict(imported(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        match node:  # a name of the file's own for what a module has
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Attribute(value=ast.Name(id=module), attr=attribute),
            ) if (
                module in names
            ):
                names[name] = f"{names[module]}.{attribute}"
    for node in ast.walk(tree):
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            first, _, rest = ast.unparse(base).partition(".")
            if first in names:
                assert isinstance(node, ast.ClassDef)
                yield node, f"{names[first]}.{rest}".removesuffix(".")


EXTENSIONS = [(node, base) for path in FILES for node, base in extended(path)]


def test_every_package_that_is_imported_is_declared() -> None:
    packages = {dotted.partition(".")[0] for path in FILES for _, dotted in imported(path)}
    assert packages - BROUGHT_ALONG.keys() <= BOUNDS.keys()
    assert set(BROUGHT_ALONG.values()) <= BOUNDS.keys()


def test_the_core_imports_its_own_dependencies_alone() -> None:
    extras = ("server", "cli", "testing.py")
    core = [
        f
        for f in FILES
        if f.is_relative_to(PACKAGE) and f.relative_to(PACKAGE).parts[0] not in extras
    ]
    packages = {dotted.partition(".")[0] for path in core for _, dotted in imported(path)}
    assert packages == {Requirement(text).name for text in PROJECT["dependencies"]}


def test_every_class_of_another_package_that_is_extended_is_known() -> None:
    assert {base for _, base in EXTENSIONS} - MADE_TO_BE_EXTENDED == EXTENDED.keys()


def test_every_private_name_of_such_a_class_is_known() -> None:
    used = set()
    for node, base in EXTENSIONS:
        own = {name for name in own_names(node) if is_private(name)}
        module, _, name = base.rpartition(".")
        private = own & set(dir(getattr(importlib.import_module(module), name)))
        for part in ast.walk(node):
            match part:
                case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
                    # wrapt keeps what begins with _self_ for those who extend its wrappers.
                    if is_private(attribute) and not attribute.startswith("_self_"):
                        private |= {attribute} - own
        used |= {(base.partition(".")[0], attribute) for attribute in private}
    assert used == PRIVATE.keys()


@pytest.mark.parametrize(
    "package", sorted({base.partition(".")[0] for base in EXTENDED} | REPLACED.keys())
)
def test_what_is_used_beyond_its_interface_is_bounded_above(package: str) -> None:
    operators = {specifier.operator for specifier in BOUNDS[package].specifier}
    assert operators == {">=", "<"}


def test_the_parts_that_are_looked_at_belong_to_bounded_packages() -> None:
    assert {place.partition(".")[0] for place in PARTS} == REPLACED.keys()


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRAS["server"]])
def test_what_is_installed_is_within_the_bounds(text: str) -> None:
    requirement = Requirement(text)
    if requirement.marker is None or requirement.marker.evaluate():
        assert requirement.specifier.contains(version(requirement.name))
