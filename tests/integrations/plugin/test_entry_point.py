"""How pytest finds the plugin, and what it costs runs that don't use it."""

from __future__ import annotations

import sys

import pytest

from .conftest import RUN_WITHIN, Run


def test_an_installed_package_is_all_that_pytest_needs_to_find_it(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_subprocess("--markers", timeout=RUN_WITHIN)
    result.stdout.fnmatch_lines(["@pytest.mark.appid(product, *, on_exhausted=None, *"])


def test_a_pytest_that_is_too_old_runs_on_without_the_plugin(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("def test_one(): pass")
    # As old ones are: 7.4 knows its version, 6.2 does not.
    for version in ("pytest.version_tuple = (7, 4, 4)", "del pytest.version_tuple"):
        program = f"import pytest, sys; {version}; sys.exit(pytest.main(sys.argv[1:]))"
        entry = "appid_manager_client.integrations._pytest_entry"
        result = pytester.run(sys.executable, "-c", program, "-p", entry, timeout=RUN_WITHIN)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(
            ["appid-manager-client: no AppIDs for tests, they need pytest 8*"]
        )


def test_the_plugin_can_be_named_where_it_is_installed_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(): pass")
    pytester.makeconftest("pytest_plugins = ['appid_manager_client.integrations.pytest']")
    name = "appid_manager_client.integrations.pytest"
    pytester.runpytest_subprocess(timeout=RUN_WITHIN).assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", name, timeout=RUN_WITHIN).assert_outcomes(passed=1)


def test_a_run_without_marks_imports_neither_the_client_nor_what_it_needs(run: Run) -> None:
    result = run(
        "def test_one(): pass",
        conftest="""
import sys

def pytest_sessionfinish():
    found = {"requests", "urllib3", "wrapt", "appid_manager_client.client"} & set(sys.modules)
    print("imported:", sorted(found))
""",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*imported: []"])
