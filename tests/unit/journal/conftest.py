"""A journal in a directory of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from appid_manager_client.journal.journal import Journal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Journal:
    return Journal(directory)
