"""Two replicas on PostgreSQL while everything around them fails: the soak, once and quickly.

That its verdict can be bad is shown in `tests/proof`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.replicas import Plan, soak
from tests.support.pgbouncer import find_pgbouncer


@pytest.mark.timeout(180)
def test_nothing_is_lost_or_had_twice_whatever_fails(tmp_path: Path) -> None:
    """Kills, stops, a restart of the database, a lost standby, a failover; see `tests/soak`."""
    result = soak(Plan(seed=1, rounds=1, pace=0.1, ttl=2), tmp_path)
    assert result.wrong == []
    assert len(result.trouble.counts) == (6 if find_pgbouncer() is None else 7)
    assert len(result.notes) > 30, "too few leases for a proof"
