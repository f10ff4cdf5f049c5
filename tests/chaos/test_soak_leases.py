"""That the verdict of the soak of leases can be bad. `make soak` runs it."""

from __future__ import annotations

import pytest

from tests.soak.accounts import Spell, wrongs


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
