"""A short run of the soak of leases, and that its verdict can be bad. `make soak` runs long."""

from __future__ import annotations

import pytest

from tests.soak.accounts import Spell, wrongs
from tests.soak.leases import soak


def test_after_faults_and_kills_no_appid_is_in_use() -> None:
    """On the field's service, which ends nothing by itself; ours has `test_replicas.py`."""
    assert soak("field", leases=120, seed=7) == []


def test_an_appid_that_comes_round_in_the_next_hour_is_all_right() -> None:
    assert wrongs([Spell("a", 1, 10, 20, False), Spell("a", 2, 30, 40, False)]) == []


@pytest.mark.parametrize(
    ("had", "wrong"),
    [
        ([Spell("a", 1, 10, None, False)], "a is in use"),
        ([Spell("a", 1, 10, 20, False), Spell("a", 1, 30, 40, False)], "a was handed out 2 times"),
        ([Spell("a", 1, 10, 35, False), Spell("a", 2, 30, 40, False)], "a was held by two"),
    ],
)
def test_the_verdict_names_what_went_wrong(had: list[Spell], wrong: str) -> None:
    found = wrongs(had)
    assert len(found) == 1 and found[0].startswith(wrong)
