"""The README followed word for word: nothing waits, and two who follow it don't disturb each other.

`test_snippets.py` runs each snippet by itself; here they run as a new user pastes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appid_manager_client import set_default_client
from appid_manager_client.testing import LocalService

TEXT = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def snippets(heading: str) -> list[str]:
    """The Python of one section."""
    section = re.search(rf"^## {heading}$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    assert section, heading
    found = re.findall(r"^```python\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert found, heading
    return found


def follow(service: LocalService, names: dict[str, Any], *headings: str) -> None:
    for heading in headings:
        for snippet in snippets(heading):
            exec(snippet.replace("http://localhost:5000", service.url), names)


@pytest.fixture(autouse=True)
def _own_default_client() -> Iterator[None]:
    yield
    set_default_client(None)


def test_the_first_steps_end_without_a_wait(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO", "appid_manager_client")
    names: dict[str, Any] = {}
    with LocalService() as service:  # its hour has begun ten minutes ago
        follow(service, names, "Thirty seconds", "Three ways to hold a lease")
        follow(service, names, "The pool and the hour")
        assert service.status()["available"] == 0, "the five AppIDs of this hour are used"
        follow(service, names, "Error Handling")
        names["client"].close()
    assert "waiting" not in caplog.text
    assert "every AppID is used up for this hour" in capsys.readouterr().out


def test_two_programs_that_begin_with_the_quick_start_get_different_appids() -> None:
    setup, *_ = snippets("Thirty seconds")
    setup = setup.partition("# Release AppID")[0]
    with LocalService() as service:
        programs: list[dict[str, Any]] = [{}, {}]
        for names in programs:
            exec(setup.replace("http://localhost:5000", service.url), names)
        assert programs[0]["appid"] != programs[1]["appid"]
        assert len({entry["appid"] for entry in service.history() if not entry["ended"]}) == 2
        for names in programs:
            names["client"].close()
