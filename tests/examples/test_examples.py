"""Each example runs with the command that it names, in a process of its own, and gives all back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RUN_WITHIN = 100.0


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=EXAMPLES.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_decorated_function_bills_each_call_to_an_appid_of_its_own() -> None:
    *calls, last = run("examples/decorated.py").splitlines()
    assert len({line.partition("billed to ")[2] for line in calls}) == len(calls) == 6
    assert last == "0 AppIDs in use, 2 still free in this hour"


def test_the_asyncio_program_shares_three_appids_among_thirty_calls() -> None:
    lines = run("examples/asyncio_program.py").splitlines()
    calls = [int(line.split()[1]) for line in lines if "one at a time" in line]
    assert len(calls) <= 3 and sum(calls) == 30
    assert "[live1] good [live1] morning" in lines
    assert any(line.startswith("a block of its own: live2") for line in lines)


def test_the_long_job_uses_three_hours_and_burns_nothing() -> None:
    lines = run("examples/long_job.py").splitlines()
    hours, _, burned = lines[-1].partition(" hours, burned: ")
    assert int(hours) >= 3
    assert burned == "nothing"
    assert sum("a new hour" in line for line in lines) == int(hours) - 1


@pytest.mark.parametrize("more", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_suite_of_billing_tests_passes(more: list[str]) -> None:
    output = run("-m", "pytest", "-p", "no:cacheprovider", "examples/pytest_suite", *more)
    assert "27 passed" in output


@pytest.mark.parametrize("example", ["celery_app", "rq_app"])
def test_of_six_tasks_for_four_appids_two_are_rescheduled_to_the_next_hour(example: str) -> None:
    ended = [line for line in run(f"examples/{example}").splitlines() if "billed to" in line]
    assert len(ended) == 6
    used = [(line.partition(":")[0], line.rpartition(" ")[2]) for line in ended]
    assert len(set(used)) == 6
    assert len({hour for hour, _ in used}) >= 2
