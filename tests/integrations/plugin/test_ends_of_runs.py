"""However a run of pytest ends, its AppIDs are released."""

from __future__ import annotations

import os
import signal

import pytest

from appid_manager_client.testing import LocalService
from tests.support.waiting import wait_until

from .conftest import RUN_WITHIN, Run


def test_with_xdist_each_test_has_an_appid_of_its_own(run: Run) -> None:
    result = run(
        """
@pytest.mark.appid("stt")
@pytest.mark.parametrize("n", range(4))
def test_one(n): pass
""",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=4)
    assert run.in_use() == []
    assert len(run.used()) == 4


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_a_run_that_stops_at_a_failure_gives_back(run: Run, option: str) -> None:
    result = run(
        """
@pytest.mark.appid("stt")
def test_fails(): assert False

@pytest.mark.appid("stt")
def test_never(): pass
""",
        option,
    )
    result.assert_outcomes(failed=1)
    assert run.in_use() == []
    assert run.used() == ["stt1"]


ENDLESS = """
@pytest.mark.appid("stt")
def test_endless(appid_lease):
    time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_gives_back(run: Run, number: int) -> None:
    run.write(ENDLESS)
    process = run.start()
    wait_until(run.in_use, what="the test runs")
    process.send_signal(number)
    process.communicate(timeout=RUN_WITHIN)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert run.in_use() == []


@pytest.mark.parametrize("whom", ["everybody", "the controlling process"])
def test_an_interrupted_run_of_xdist_gives_back(field_run: Run, whom: str) -> None:
    field_run.write(ENDLESS)
    process = field_run.start("-n", "1")
    wait_until(field_run.in_use, what="the test runs")
    if whom == "everybody":  # as Ctrl-C on a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=RUN_WITHIN)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert field_run.in_use() == []


WAITING = {
    "function": ENDLESS,
    "class": """
@pytest.mark.appid("stt")
class TestClass:
    def test_endless(self, appid_class_lease): time.sleep(300)
""",
    "pool": ENDLESS.replace('("stt")', '("stt", pool=True)'),
}


@pytest.mark.parametrize("kind", WAITING)
@pytest.mark.parametrize("more", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_run_that_waits_can_be_interrupted(run: Run, kind: str, more: list[str]) -> None:
    run.client.init_product("stt", {"stt1": 1})
    taken = run.client.acquire_appid("stt")
    run.write(
        WAITING[kind],
        conftest="""
import appid_manager_client.integrations._pytest_leases as leases

leases.FIRST_TRY = 0.1
""",
    )
    process = run.start("-s", *more)
    assert process.stdout is not None
    output = b""
    while b"for an AppID of stt" not in output:
        line = process.stdout.readline()
        assert line, output.decode()
        output += line
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=RUN_WITHIN)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert run.in_use() == [taken.appid]


@pytest.mark.parametrize("more", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_test_that_ends_the_run_gives_back(field_run: Run, more: list[str]) -> None:
    result = field_run(
        """
@pytest.mark.appid("stt")
class TestClass:
    @pytest.mark.appid("stt", pool=True)
    def test_exits(self, appid_class_lease, appid_lease):
        pytest.exit("enough")
""",
        *more,
    )
    assert result.ret != 0
    assert field_run.in_use() == []
    assert field_run.used() == ["stt1", "stt2"]


CRASHES = """
@pytest.mark.appid("stt")
def test_crashes():
    os._exit(3)
"""

CRASHES_WITH_SHARED = """
@pytest.mark.appid("stt")
class TestClass:
    @pytest.mark.appid("stt", pool=True)
    def test_crashes(self, appid_class_lease, appid_lease):
        os._exit(3)
"""


@pytest.mark.parametrize(
    ("tests", "used"),
    [(CRASHES, ["stt1"]), (CRASHES_WITH_SHARED, ["stt1", "stt2"])],
    ids=["its own", "class and pool"],
)
def test_what_a_crashed_worker_of_xdist_held_is_given_back(
    field_run: Run, tests: str, used: list[str]
) -> None:
    result = field_run(tests, "-n", "1")
    result.stdout.fnmatch_lines(
        ["*worker 'gw0' crashed while running 'test_it.py::*test_crashes'*"]
    )
    assert field_run.in_use() == []
    assert field_run.used() == used


def test_the_next_run_gives_back_what_a_killed_one_held(field_run: Run) -> None:
    field_run(CRASHES)
    assert field_run.in_use() == ["stt1"]
    field_run("""
@pytest.mark.appid("stt")
def test_one(appid_lease):
    assert appid_lease.appid == "stt2"
""").assert_outcomes(passed=1)
    assert field_run.in_use() == []


def test_without_a_journal_the_ttl_ends_what_a_killed_run_held(
    run: Run, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", "no")
    run(CRASHES)
    assert run.in_use() == ["stt1"]
    service.advance(61)
    assert run.in_use() == []
