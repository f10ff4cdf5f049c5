"""A service that is down, hangs, refuses the token, or was not named: one line, and no waiting."""

from __future__ import annotations

import re
import socket
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appid_manager_client.testing import LocalService
from tests.support.faults import Fault
from tests.support.field import FieldService
from tests.support.rawserver import refused

from .conftest import Run

MANY = """
@pytest.mark.appid("stt")
@pytest.mark.parametrize("n", range(20))
def test_one(n): pass
"""

AT_ONCE = 0.5
"""Seconds that no test takes which says at once what is wrong, on a loaded machine."""


@contextmanager
def nobody_answering() -> Iterator[str]:
    with socket.socket() as silent:  # the system accepts connections, and nobody answers
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


TIMES = """
def pytest_runtest_logreport(report):
    if report.when == "setup":
        with open("setups", "a") as file:
            print(report.duration, file=file)
"""


def seconds_of_setups(run: Run) -> list[float]:
    return [float(line) for line in (run.pytester.path / "setups").read_text().split()]


def errors_of_tests(run: Run) -> list[str]:
    """What stands in the report for each test that got no AppID."""
    tree = ElementTree.parse(run.pytester.path / "report.xml")
    return [error.text or "" for error in tree.iter("error")]


def test_a_service_that_is_not_there_fails_one_test_after_its_tries_and_all_others_at_once(
    run: Run,
) -> None:
    with refused() as url:
        result = run(MANY, f"--appid-url={url}", "--junit-xml=report.xml", conftest=TIMES)
    result.assert_outcomes(errors=20)
    first, *others = errors_of_tests(run)
    assert re.fullmatch(
        rf"ServiceUnavailable: {url} \(.*\): connection refused; "
        r"gave up after \d+ tries in [\d.]+ s",
        first,
    )
    assert set(others) == {f"{first} (found by test_it.py::test_one[0]); it still does not answer"}
    slow, *fast = seconds_of_setups(run)
    assert slow > 1
    assert max(fast) < AT_ONCE


@pytest.mark.parametrize("pooled", [False, True])
def test_a_service_that_hangs_fails_one_test_after_its_try_and_all_others_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    monkeypatch.setenv("APPID_MANAGER_TIMEOUT", "1")
    with nobody_answering() as url:
        tests = MANY.replace('"stt"', f'"stt", pool={pooled}')
        result = run(tests, f"--appid-url={url}", "--junit-xml=report.xml", conftest=TIMES)
    result.assert_outcomes(errors=20)
    assert all("\n" not in error and "answer" in error for error in errors_of_tests(run))
    slow, *fast = seconds_of_setups(run)
    assert slow > 1
    assert sum(fast) < 19 * AT_ONCE / 4


@pytest.mark.parametrize("pooled", [False, True])
def test_a_refused_token_is_not_sent_again(
    field_run: Run, field_service: FieldService, pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPID_MANAGER_TOKEN", "wrong")
    before = len(field_service.calls)
    tests = MANY.replace('"stt"', f'"stt", pool={pooled}')
    result = field_run(tests, "--junit-xml=report.xml", conftest=TIMES)
    result.assert_outcomes(errors=20)
    first, *others = errors_of_tests(field_run)
    assert first.startswith(f"AuthenticationError: {field_service.url}")
    assert set(others) == {
        f"{first} (found by test_it.py::test_one[0]); this run does not ask again with that token"
    }
    assert len(field_service.calls) - before <= 2
    assert max(seconds_of_setups(field_run)[1:]) < AT_ONCE


OUTAGE = """
from pathlib import Path

def tell(word):
    Path(word).touch()
    while not Path(word + ".done").exists():
        time.sleep(0.005)

@pytest.fixture
def stopped():
    tell("stop")

@pytest.fixture
def started():
    tell("start")

@pytest.mark.appid("stt")
def test_before(): pass

@pytest.mark.appid("stt")
def test_first(stopped): pass

@pytest.mark.appid("stt")
def test_second(): pass

@pytest.mark.appid("stt")
def test_third(started): pass

@pytest.mark.appid("stt")
def test_fourth(): pass
"""


def test_tests_get_appids_again_as_soon_as_the_service_answers(switched_run: Run) -> None:
    result = switched_run(OUTAGE, "-rA")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "PASSED test_it.py::test_before",
            "PASSED test_it.py::test_third",
            "PASSED test_it.py::test_fourth",
            "ERROR test_it.py::test_first - Failed: ServiceUnavailable:*",
            "ERROR test_it.py::test_second - Failed: ServiceUnavailable:*",
        ]
    )
    assert switched_run.in_use() == []


def test_a_pool_that_has_an_appid_goes_on_through_an_outage(switched_run: Run) -> None:
    tests = OUTAGE.replace('appid("stt")', 'appid("stt", pool=True)')
    switched_run(tests).assert_outcomes(passed=5)
    assert switched_run.used() == ["stt1"]


@pytest.fixture
def switched_run(run: Run, service: LocalService) -> Iterator[Run]:
    """A run whose tests say when the service stops and starts."""
    ended = threading.Event()

    def watch() -> None:
        for word, act in (("stop", service.stop), ("start", service.start)):
            path = run.pytester.path / word
            while not path.exists():
                if ended.wait(0.01):
                    return
            act()
            path.with_suffix(".done").touch()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield run
    finally:
        ended.set()
        thread.join()
        service.start()


@pytest.mark.parametrize("pooled", [False, True])
def test_a_service_that_seems_well_and_grants_nothing_is_tried_once_and_then_rarely(
    field_run: Run, field_service: FieldService, pooled: bool
) -> None:
    field_service.faults.queue("acquire", Fault.INTERNAL_ERROR, times=1000)
    tests = MANY.replace('"stt"', f'"stt", pool={pooled}')
    result = field_run(tests, "--junit-xml=report.xml", conftest=TIMES)
    result.assert_outcomes(errors=20)
    assert all("500" in error and "\n" not in error for error in errors_of_tests(field_run))
    _, second, *others = seconds_of_setups(field_run)
    assert second < AT_ONCE or pooled  # a pool doesn't say when it has tried
    assert sum(others) < 18 * AT_ONCE / 4


# --- no service was named


@pytest.mark.parametrize("more", [[], ["-n", "1"]], ids=["alone", "xdist"])
@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "no AppID service is named"), ("", "APPID_MANAGER_URL is empty")],
    ids=["unset", "empty"],
)
def test_without_a_url_every_test_says_how_to_name_a_service_or_start_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str, more: list[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("APPID_MANAGER_URL", value)
    run.url = None
    tests = """
@pytest.mark.appid("stt")
def test_marked(): pass

@pytest.mark.appid("stt", pool=True)
def test_pooled(): pass

def test_client(appid_client): pass

def test_unmarked(): pass
"""
    result = run(tests, "--junit-xml=report.xml", *more)
    result.assert_outcomes(errors=3, passed=1)
    assert set(errors_of_tests(run)) == {
        f"{said}: pass --appid-url=URL or set APPID_MANAGER_URL; --appid-url=local starts a "
        "service for this run"
    }


def test_an_empty_option_is_a_usage_error(run: Run) -> None:
    result = run("def test_one(): pass", "--appid-url=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--appid-url is empty: name the service, or 'local'*"])


@pytest.mark.parametrize("url", [None, "nonsense"])
def test_after_a_crash_without_a_usable_url_the_controlling_process_asks_nobody(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    run.url = None
    if url is not None:
        monkeypatch.setenv("APPID_MANAGER_URL", url)
    monkeypatch.setenv("APPID_MANAGER_JOURNAL", str(run.pytester.mkdir("journal")))
    result = run("def test_crashes(): os._exit(3)", "-n", "1")
    result.stdout.fnmatch_lines(["*worker 'gw0' crashed*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stderr.no_fnmatch_line("*built-in default*")
