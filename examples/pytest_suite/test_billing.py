"""A suite of billing tests. Most hold an AppID that nobody else uses: its figures are their own.

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


@pytest.fixture(scope="class")
def job(engine: Engine, appid_class_lease: Lease) -> str:
    engine.transcribe(appid_class_lease.appid, 30)
    return appid_class_lease.appid


@pytest.mark.appid("stt_billing")
class TestOneJob:
    """Its tests look at one job, under the one AppID of the class."""

    def test_it_is_billed(self, engine: Engine, job: str) -> None:
        assert engine.billed(job) >= 30

    def test_another_part_is_added(self, engine: Engine, job: str) -> None:
        before = engine.billed(job)
        engine.transcribe(job, 30)
        assert engine.billed(job) == before + 30


@pytest.mark.appid("stt_billing", pool=True)
@pytest.mark.parametrize("seconds", [0.1 * n for n in range(1, 21)])
def test_each_part_is_added(engine: Engine, appid_lease: Lease, seconds: float) -> None:
    """The twenty tests have one AppID, one after the other: they look at differences."""
    before = engine.billed(appid_lease.appid)
    engine.transcribe(appid_lease.appid, seconds)
    assert engine.billed(appid_lease.appid) == pytest.approx(before + seconds)
