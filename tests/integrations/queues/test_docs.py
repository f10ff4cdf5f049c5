"""The programs in docs/celery.md and docs/rq.md run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService

DOCS = Path(__file__).parents[3] / "docs"
PROGRAM = re.compile(r"(?<!-->\n)```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("page", "calls"),
    [("celery.md", ["transcribe", "transcribe_bound"]), ("rq.md", ["transcribe"])],
)
def test_the_programs_of_a_page_run(page: str, calls: list[str], service: LocalService) -> None:
    with AppIdClient(service.url) as client:
        client.init_product("stt_billing", {"appid1": 1, "appid2": 2})
    programs = PROGRAM.findall((DOCS / page).read_text(encoding="utf-8"))
    shown = [f"print({call}('call.wav'))" for call in calls]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join([*programs, *shown])],
        env={**os.environ, "APPID_MANAGER_URL": service.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        f"call.wav billed to appid{n + 1}" for n in range(len(calls))
    ]
    assert not done.stderr
