"""The entry point that pytest finds wherever the package is installed. It loads the plugin.

A plugin that can't be imported ends every test run of its environment, even in projects that don't
use it. So this module imports nothing that an old pytest lacks, and leaves the plugin out there.
"""

from __future__ import annotations

import importlib

import pytest

_PLUGIN = "appid_manager_client.integrations.pytest"
_NEEDED = (8,)

_usable = getattr(pytest, "version_tuple", (0,)) >= _NEEDED


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """The first hook of all: a plugin that is registered here can still add its own options."""
    if _usable and not pluginmanager.has_plugin(_PLUGIN):
        pluginmanager.register(importlib.import_module(_PLUGIN), _PLUGIN)


def pytest_report_header() -> list[str]:
    """Say why the marker and the fixtures are missing."""
    if _usable:
        return []
    return [f"appid-manager-client: no AppIDs for tests, they need pytest {_NEEDED[0]} or newer"]
