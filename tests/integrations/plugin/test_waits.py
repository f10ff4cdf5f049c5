"""A test that waits for an AppID is shown, wherever the run can show anything."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from appid_manager_client.integrations._pytest_waits import Cadence, Wait

from tests.support.waiting import wait_until

from .conftest import RUN_WITHIN, Run

EXHAUSTED = """
@pytest.mark.appid("scarce", retry_interval=0.2, max_retries=1000)
def test_first(): pass

@pytest.mark.appid("scarce", retry_interval=0.2, max_retries=1000)
def test_second(): pass
"""

IMPATIENT = """
import appid_manager_client.integrations._pytest_leases as leases
import appid_manager_client.integrations._pytest_waits as waits

leases.FIRST_TRY = 0.5
waits.SHOWN_AFTER = 0.5
"""

TURNED_ONCE_SHOWN = """
def then_turn(show, times):
    shown = []

    def wrapper(screen, text):
        show(screen, text)
        shown.append(text)
        if len(shown) == times:
            services[0].advance_to_next_hour(1)

    return wrapper

waits.Screen.line = then_turn(waits.Screen.line, 1)
waits.Screen.rewrite = then_turn(waits.Screen.rewrite, 12)
services = []

@pytest.fixture(scope="session", autouse=True)
def scarce(appid_service, appid_client):
    services.append(appid_service)
    appid_client.init_product("scarce", {"only": 1})
"""

NEAR_THE_END = """
from appid_manager_client.testing import LocalService

@pytest.fixture(scope="session")
def appid_service():
    with LocalService(hour_seconds=1000) as service:
        yield service

@pytest.fixture(autouse=True)
def near_the_end(request, appid_client, appid_service):
    if request.node.name == "test_second":
        appid_service.advance_to_next_hour(-1.5)
    else:
        appid_client.init_product("scarce", {"only": 1})
"""

SHOWN = "waiting * for an AppID of scarce: every AppID is used up for this hour (*::test_second)"
UNTIL = r"waiting (\d{4}) s, until \d\d:\d\d:\d\d, for an AppID of scarce"


def turned(run: Run, *args: str, tests: str = EXHAUSTED, more: str = "") -> pytest.RunResult:
    """Run two tests. The second waits for the turn of the hour, which comes once that is shown."""
    return run(tests, "--appid-url=local", *args, conftest=IMPATIENT + TURNED_ONCE_SHOWN + more)


@pytest.mark.parametrize(
    "args",
    [[], ["-v"], ["-p", "no:capture"], ["-p", "no:logging"], ["-n", "1"]],
    ids=" ".join,
)
def test_a_wait_is_a_line_of_the_report_and_the_test_goes_on_when_the_hour_turns(
    run: Run, args: list[str]
) -> None:
    result = turned(run, *args)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([SHOWN])
    [line] = [line for line in result.outlines if "waiting" in line]
    assert re.fullmatch(rf"{UNTIL}: .* \(test_it.py::test_second\)", line)


def test_without_a_reporter_a_wait_is_a_line_on_stderr(run: Run) -> None:
    result = turned(run, "-p", "no:terminal")
    assert result.ret == 0
    result.stderr.fnmatch_lines([SHOWN])


def test_a_wait_for_the_pool_is_shown(run: Run) -> None:
    result = run(
        """
import threading

def test_first(appid_pool):
    lease = appid_pool("stt", max_size=1).lease().acquire()
    threading.Timer(3, lease.release).start()

@pytest.mark.appid("stt", pool=True)
def test_second(): pass
""",
        conftest=IMPATIENT,
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["waiting for [12] s now, for an AppID of stt: every AppID is taken (*::test_second)"]
    )


def test_a_wait_in_the_body_of_a_test_is_shown(run: Run) -> None:
    result = turned(
        run,
        tests=EXHAUSTED.replace(
            '@pytest.mark.appid("scarce", retry_interval=0.2, max_retries=1000)\n'
            "def test_second(): pass",
            "def test_second(appid_client):\n"
            "    with appid_client.lease('scarce', retry_interval=0.2): pass",
        ),
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([SHOWN])


def test_a_wait_of_a_client_of_the_project_is_shown(run: Run) -> None:
    result = turned(
        run,
        more="""
@pytest.fixture(scope="session")
def appid_client(appid_service):
    from appid_manager_client import AppIdClient

    with AppIdClient(appid_service.url) as client:
        yield client
""",
    )
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines([rf"{UNTIL}: every AppID is taken \(.*test_second\)$"])


def test_a_line_comes_at_the_start_at_a_change_each_minute_and_later_every_ten() -> None:
    def seconds_of_lines(changed_at: float) -> list[float]:
        now, lines, cadence = 0.0, [], Cadence()
        while now < 2500:
            reason = "every AppID is taken" if now < changed_at else "connection refused"
            wait = Wait("test_one", "stt", 0.0, reason, None, None, True, True)
            if cadence.pause(wait, now) <= 0:
                lines.append(now)
                cadence.written(wait, now)
            now += 1
        return lines

    minutes = [60.0 * n for n in range(11)]
    assert seconds_of_lines(9999) == [*minutes, 1200.0, 1800.0, 2400.0]
    assert seconds_of_lines(610) == [*minutes, 610.0, 1210.0, 1810.0, 2410.0]


def test_a_short_wait_is_not_shown(run: Run) -> None:
    result = run(EXHAUSTED, "--appid-url=local", conftest=NEAR_THE_END)
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*waiting*")


def test_a_terminal_shows_a_countdown_and_clears_it(run: Run) -> None:
    run.write(EXHAUSTED, IMPATIENT + TURNED_ONCE_SHOWN)
    with terminal(run) as output:
        wait_until(lambda: "2 passed" in output(), RUN_WITHIN)
        shown = output()
    counted = re.findall(rf"\r(?:\x1b\[\d+m)*{UNTIL}", shown)
    assert counted == sorted(counted, reverse=True)
    assert len(set(counted)) >= 2
    assert re.search(r"\r +\r[^\r\n]*\.", shown[shown.rindex("waiting") :])


@contextmanager
def terminal(run: Run) -> Iterator[Callable[[], str]]:
    """A run of pytest on a terminal of its own. Gives a function that returns its output."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", *run.args("--appid-url=local")]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=run.pytester.path, env=environ
    )
    os.close(theirs)
    parts: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:  # the other end was closed
            pass

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield lambda: b"".join(parts).decode()
    finally:
        process.wait(RUN_WITHIN)
        thread.join(RUN_WITHIN)
        os.close(ours)
