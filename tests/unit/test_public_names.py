"""The names that the package offers: each there, each imported only when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import appid_manager_client


def names_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(appid_manager_client.__file__).read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module != "_lazy"
        for alias in node.names
    }


@pytest.mark.parametrize("name", appid_manager_client.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(appid_manager_client, name) is not None
    assert name in dir(appid_manager_client)


def test_nothing_else_is_offered_for_completion() -> None:
    offered = {name for name in dir(appid_manager_client) if not name.startswith("__")}
    assert offered == {name for name in appid_manager_client.__all__ if not name.startswith("__")}


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(appid_manager_client.__all__)


def test_a_name_that_isnt_there_is_an_ordinary_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'appid_manager_client' has no attribute 'nothing'"
    ):
        appid_manager_client.nothing
    with pytest.raises(ImportError):
        exec("from appid_manager_client import nothing")


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = """if True:
        import sys, appid_manager_client
        heavy = {"requests", "wrapt", "urllib3", "appid_manager_client.client"}
        print(sorted(heavy & set(sys.modules)))
        from appid_manager_client import *
        assert AppIdClient is appid_manager_client.AppIdClient and uses_appid and Lease
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
