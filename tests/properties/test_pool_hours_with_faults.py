"""Ten thousand hours of pools in turned time, with failures and outages, at both kinds of service.

`python -m tests.soak.pool_hours` simulates the same with other seeds, and prints its figures.
"""

from __future__ import annotations

import pytest

from tests.soak.pool_hours import HOURS, SETTINGS, Setting, simulate


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_failures_and_outages_lose_no_appid_and_no_caller(setting: Setting) -> None:
    print(simulate(setting, seed=1, hours=HOURS // len(SETTINGS)))
