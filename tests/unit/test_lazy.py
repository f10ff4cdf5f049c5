"""What goes wrong in an import comes through the names that are imported lazily."""

from __future__ import annotations

import subprocess
import sys

import pytest

BROKEN = {
    "a part is missing, as in an old urllib3": (
        "import urllib3; del urllib3.BaseHTTPResponse",
        "module 'urllib3' has no attribute 'BaseHTTPResponse'",
    ),
    "a name is missing": (
        "import requests.adapters; del requests.adapters.HTTPAdapter",
        "cannot import name 'HTTPAdapter'",
    ),
    "a package is missing": (
        "import sys; sys.modules['wrapt'] = None",
        "import of wrapt halted",
    ),
}


@pytest.mark.parametrize(("breaking", "reason"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "use",
    [
        "from appid_manager_client import AppIdClient, uses_appid",
        "import appid_manager_client as a; a.AppIdClient; a.uses_appid",
    ],
)
def test_an_import_that_fails_says_why(use: str, breaking: str, reason: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"{breaking}\n{use}"], capture_output=True, text=True, timeout=60
    )
    last = ran.stderr.strip().splitlines()[-1]
    assert ran.returncode == 1 and last.startswith(("ImportError", "ModuleNotFoundError"))
    assert reason in last
