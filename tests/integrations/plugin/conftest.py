"""Runs of pytest in processes of their own, with the plugin, against one service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService

RUN_WITHIN = 90.0

SCARCE = """
@pytest.fixture(scope="session", autouse=True)
def scarce(appid_client):
    appid_client.init_product("scarce", {"only": 1})
"""
"""A conftest for tests that want more AppIDs than there are."""


class Run:
    """Runs pytest in a process of its own, against a service with four AppIDs of product `stt`."""

    def __init__(
        self,
        pytester: pytest.Pytester,
        monkeypatch: pytest.MonkeyPatch,
        url: str,
        token: str | None = None,
    ) -> None:
        self.pytester = pytester
        self.url: str | None = url
        self.client = AppIdClient(url, auth_token=token)
        if token is not None:
            monkeypatch.setenv("APPID_MANAGER_TOKEN", token)
        # Most of a run's time is the import of plugins that these tests don't need.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        self.client.init_product("stt", {f"stt{n}": n for n in range(1, 5)})

    def __call__(self, tests: str, *args: str, conftest: str = "") -> pytest.RunResult:
        self.write(tests, conftest)
        return self.again(*args)

    def write(self, tests: str, conftest: str = "") -> None:
        self.pytester.makepyfile(test_it="import os, pytest, time\n" + tests)
        self.pytester.makeconftest("import pytest\n" + conftest)

    def again(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*self.args(*args), timeout=RUN_WITHIN)

    def args(self, *more: str) -> list[str]:
        own_url = any(arg.startswith("--appid-url") for arg in more)
        url = [] if own_url or not self.url else [f"--appid-url={self.url}"]
        plugins = ["-p", "appid_manager_client.integrations.pytest"]
        if "-n" in more:
            plugins += ["-p", "xdist.plugin"]
        return [*plugins, "-p", "no:cacheprovider", *url, *more]

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self.pytester.popen(
            [sys.executable, "-m", "pytest", *self.args(*more)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return process

    def in_use(self) -> list[str]:
        return self._appids("in_use")

    def used(self) -> list[str]:
        return self._appids("used_in_current_hour")

    def _appids(self, status: str) -> list[str]:
        entries = self.client.get_status("stt")["appids"]
        return [entry["appid"] for entry in entries if entry["status"] == status]


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    # Used once before the first test: `pytester` takes out of `sys.modules` what a test imports.
    with LocalService() as running, AppIdClient(running.url) as client:
        client.init_product("stt", {"stt1": 1})
        with client.lease("stt"):
            running.history()
        yield running


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, service: LocalService
) -> Iterator[Run]:
    run = Run(pytester, monkeypatch, service.url)
    with run.client:
        yield run


@pytest.fixture
def field_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, field_service: FieldService
) -> Iterator[Run]:
    run = Run(pytester, monkeypatch, field_service.url, field_service.auth_token)
    with run.client:
        yield run
