"""A short run of the soak of leases. `make soak` does a long one."""

from __future__ import annotations

import pytest

from tests.soak.leases import soak


@pytest.mark.parametrize("kind", ["ours", "field"])
def test_after_faults_and_kills_no_appid_is_in_use(kind: str) -> None:
    assert soak(kind, leases=250, seed=7) == []
