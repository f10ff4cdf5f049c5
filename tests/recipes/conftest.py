"""The recipes of docs/recipes.md, and a service that they ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from appid_manager_client import AppIdClient, set_default_client
from appid_manager_client.testing import LocalService

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
_RECIPE = re.compile(r"^## (.+?)\n.*?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RECIPES = dict(_RECIPE.findall(PAGE.read_text(encoding="utf-8")))
"""The program below each heading."""


class World:
    """A service with AppIDs for the recipes, named by the environment."""

    def __init__(self, service: LocalService, folder: Path) -> None:
        self.service = service
        self.folder = folder

    def write(self, recipe: str) -> Path:
        """Write a recipe into a module of its own."""
        name = re.sub(r"\W", "_", recipe.lower())
        path = self.folder / f"recipe_{name}.py"
        path.write_text(RECIPES[recipe], encoding="utf-8")
        return path

    def run(self, recipe: str, more: str = "") -> str:
        """Run a recipe as a program. Returns what it printed."""
        path = self.write(recipe)
        path.write_text(path.read_text("utf-8") + more, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", str(path)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def load(self, recipe: str) -> ModuleType:
        """Import a recipe as a module of this process."""
        path = self.write(recipe)
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        sys.modules[path.stem] = module
        exec(compile(RECIPES[recipe], str(path), "exec"), vars(module))
        return module

    def take_all(self) -> None:
        """Use up every AppID of this hour."""
        with AppIdClient(self.service.url) as client:
            while self.states.count("available"):
                client.release_appid(client.acquire_appid("stt_billing").appid, "stt_billing")

    @property
    def states(self) -> list[str]:
        return [entry["status"] for entry in self.service.status()["appids"]]

    @property
    def used(self) -> int:
        """How many AppIDs were used. None of them may be in use any more."""
        assert "in_use" not in self.states
        return self.states.count("used_in_current_hour")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    with LocalService() as service:
        service.clock.freeze()  # away from the turn of the hour, whenever the test runs
        monkeypatch.setenv("APPID_MANAGER_URL", service.url)
        with AppIdClient(service.url) as client:
            client.init_product("stt_billing", {f"a{number}": number for number in range(6)})
            set_default_client(client)
            yield World(service, tmp_path)
        set_default_client(None)
    for name in set(sys.modules) - before:
        if name.startswith("recipe_"):
            del sys.modules[name]
