"""The suite on every Python that is claimed, and at the lowest versions of all dependencies.

`nox`, or `make nox`, runs the suite on each Python that a classifier of pyproject.toml names.
One that this machine lacks is named and skipped, in continuous integration too. `nox -s lowest`,
or `make lowest`, runs the suite with each dependency at the lower bound that pyproject.toml
declares. Arguments after `--` go to pytest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement
from packaging.version import Version

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
PYTEST = ("python", "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite, on one Python."""
    session.install("-e", ".[dev]")
    session.run(*PYTEST, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The whole suite, on the lowest Python, with the lowest version of each dependency."""
    # In no directory of `create_tmp`: that makes it the TMPDIR, and runs of pytest within tests
    # would find this project above them.
    constraints = Path(session.virtualenv.location, "lowest.txt")
    constraints.write_text("\n".join(lowest_versions(PYPROJECT["project"])) + "\n")
    session.install("-c", str(constraints), "-e", ".[dev]")
    session.run(*PYTEST, *session.posargs)


def lowest_versions(project: dict[str, Any]) -> list[str]:
    """Each requirement of the core and of the extras as a constraint: its lower bound, exactly.

    Where two of them bound the same package, the higher bound counts: only it fits both.
    """
    extras = project["optional-dependencies"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    lowest: dict[str, tuple[Version, str]] = {}
    for requirement in map(Requirement, texts):
        if requirement.name == project["name"]:
            continue  # an extra that includes other extras
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        marker = f"; {requirement.marker}" if requirement.marker else ""
        line = f"{requirement.name}=={bound}{marker}"
        found = Version(bound), line
        lowest[requirement.name] = max(found, lowest.get(requirement.name, found))
    return sorted(line for _, line in lowest.values())
