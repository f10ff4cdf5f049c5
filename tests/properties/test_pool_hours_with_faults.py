"""Ten thousand hours of pools with failures and outages at both kinds of service: the whole of the simulation.

`python -m tests.soak.pool_hours` runs the same for other seeds, and says so in figures.
"""

from __future__ import annotations

import pytest

from tests.soak.pool_hours import HOURS, TOWNS, Setting, simulate


@pytest.mark.parametrize("town", TOWNS, ids=str)
def test_failures_and_outages_lose_no_appid_and_no_caller(town: Setting) -> None:
    print(simulate(town, seed=1, hours=HOURS // len(TOWNS)))
