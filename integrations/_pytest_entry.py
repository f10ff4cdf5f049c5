"""What pytest finds of its plugin wherever the package is installed: loads it, or steps aside for a pytest too old.

A plugin that can't be imported ends every test run of its environment, also of projects that never wanted it.
"""

from __future__ import annotations

import importlib

import pytest

_PLUGIN = "appid_manager_client.integrations.pytest"
_NEEDED = (8,)

_usable = getattr(pytest, "version_tuple", (0,)) >= _NEEDED


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """The first hook there is: what is registered now still gets to add its own options."""
    if _usable and not pluginmanager.has_plugin(_PLUGIN):
        pluginmanager.register(importlib.import_module(_PLUGIN), _PLUGIN)


def pytest_report_header() -> list[str]:
    """Say why the marker and the fixtures aren't there."""
    if _usable:
        return []
    return [f"appid-manager-client: no AppIDs for tests, they need pytest {_NEEDED[0]} or newer"]
