"""A suite of billing tests: each holds an AppID that nobody else uses, so its figures are its own.

    python -m pytest examples/pytest_suite

`appid_url = local` in pytest.ini starts a service for the run.
"""

from __future__ import annotations

import pytest
from billing import Engine

from appid_manager_client import Lease


@pytest.mark.appid("stt_billing")
def test_a_transcription_is_billed_by_the_second(engine: Engine, appid_lease: Lease) -> None:
    engine.transcribe(appid_lease.appid, 12.5)
    assert engine.billed(appid_lease.appid) == 12.5


@pytest.mark.appid("stt_billing", min_remaining=120)
@pytest.mark.parametrize("parts", [[1.0], [1.0, 2.0], [0.5, 0.5, 0.5]])
def test_parts_add_up(engine: Engine, appid_lease: Lease, parts: list[float]) -> None:
    for seconds in parts:
        engine.transcribe(appid_lease.appid, seconds)
    assert engine.billed(appid_lease.appid) == sum(parts)


@pytest.mark.appid("stt_billing")
class TestRefusals:
    def test_nothing_is_billed_for_what_was_refused(
        self, engine: Engine, appid_lease: Lease
    ) -> None:
        with pytest.raises(ValueError):
            engine.transcribe(appid_lease.appid, 0)
        assert engine.billed(appid_lease.appid) == 0
