"""The pytest plugin, in runs of pytest of their own: what tests get, what reports say, and that all is given back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.field import FieldService
from tests.support.waiting import wait_until

RUN_WITHIN = 90.0


class Run:
    """Runs pytest in a process of its own, against one service with four AppIDs of the product `stt`."""

    def __init__(
        self,
        pytester: pytest.Pytester,
        monkeypatch: pytest.MonkeyPatch,
        url: str,
        token: str | None = None,
    ) -> None:
        self.pytester = pytester
        self.url = url
        self.client = AppIdClient(url, auth_token=token)
        if token is not None:
            monkeypatch.setenv("APPID_MANAGER_TOKEN", token)
        # Most of a run's time is the import of plugins that these tests don't need.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        self.client.init_product("stt", {f"stt{n}": n for n in range(1, 5)})

    def __call__(self, tests: str, *args: str, conftest: str = "") -> pytest.RunResult:
        self.write(tests, conftest)
        return self.again(*args)

    def write(self, tests: str, conftest: str = "") -> None:
        self.pytester.makepyfile(test_it="import os, pytest, time\n" + tests)
        self.pytester.makeconftest("import pytest\n" + conftest)

    def again(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*self.args(*args), timeout=RUN_WITHIN)

    def args(self, *more: str) -> list[str]:
        url = (
            []
            if any(arg.startswith("--appid-url") for arg in more)
            else [f"--appid-url={self.url}"]
        )
        plugins = ["-p", "appid_manager_client.integrations.pytest"]
        if "-n" in more:
            plugins += ["-p", "xdist.plugin"]
        return [*plugins, "-p", "no:cacheprovider", *url, *more]

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pytest", *self.args(*more)]
        return self.pytester.popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def in_use(self) -> list[str]:
        entries = self.client.get_status("stt")["appids"]
        return [entry["appid"] for entry in entries if entry["status"] == "in_use"]

    def used(self) -> list[str]:
        entries = self.client.get_status("stt")["appids"]
        return [entry["appid"] for entry in entries if entry["status"] == "used_in_current_hour"]


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    # One for all, and used once before the first test: `pytester` takes out of `sys.modules` what a test imports.
    with LocalService() as running, AppIdClient(running.url) as client:
        client.init_product("stt", {"stt1": 1})
        with client.lease("stt"):
            running.history()
        yield running


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, service: LocalService
) -> Iterator[Run]:
    run = Run(pytester, monkeypatch, service.url)
    with run.client:
        yield run


@pytest.fixture
def field_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, field_service: FieldService
) -> Iterator[Run]:
    run = Run(pytester, monkeypatch, field_service.url, field_service.auth_token)
    with run.client:
        yield run


# --- what a test gets


def test_a_marked_test_holds_an_appid_while_it_runs_and_another_one_does_not(run: Run) -> None:
    result = run("""
def in_use(client):
    return [e["appid"] for e in client.get_status("stt")["appids"] if e["status"] == "in_use"]

@pytest.mark.appid("stt")
def test_with_the_lease(appid_lease, appid_client):
    assert in_use(appid_client) == [appid_lease.appid]

@pytest.mark.appid("stt")
def test_without_asking_for_the_lease(appid_client):
    assert len(in_use(appid_client)) == 1

def test_unmarked(appid_client):
    assert in_use(appid_client) == []

@pytest.mark.appid("stt")
class TestClass:
    def test_method(self, appid_client):
        assert len(in_use(appid_client)) == 1

    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.appid("stt", ttl=33))])
    def test_the_closest_mark_counts(self, x, appid_lease):
        assert appid_lease._options.ttl == 33
""")
    result.assert_outcomes(passed=5)
    assert run.in_use() == []
    assert len(run.used()) == 4


def test_the_holder_names_the_test(run: Run, service: LocalService) -> None:
    run("""
@pytest.mark.appid("stt")
def test_one(): pass
@pytest.mark.appid("stt", holder="me")
def test_two(): pass
""").assert_outcomes(passed=2)
    assert [lease["holder"] for lease in service.history("stt", limit=2)] == [
        "me",
        "pytest test_it.py::test_one",
    ]


def test_one_parameter_of_a_test_can_be_marked(run: Run) -> None:
    run("""
@pytest.mark.parametrize("held", [0, pytest.param(1, marks=pytest.mark.appid("stt")), 0])
def test_one(held, appid_client):
    in_use = [e for e in appid_client.get_status("stt")["appids"] if e["status"] == "in_use"]
    assert len(in_use) == held
""").assert_outcomes(passed=3)


def test_a_fixture_that_needs_the_appid_gets_it_before_the_test(run: Run) -> None:
    run("""
@pytest.fixture
def job(appid_lease):
    return appid_lease

@pytest.mark.appid("stt")
def test_one(job, appid_lease):
    assert job is appid_lease and job.held
""").assert_outcomes(passed=1)


def test_a_unittest_case_can_be_marked(run: Run) -> None:
    run("""
import unittest

@pytest.mark.appid("stt")
class Case(unittest.TestCase):
    def test_one(self): pass
""").assert_outcomes(passed=1)
    assert run.used() == ["stt1"]


def test_local_brings_a_service_that_knows_every_product(run: Run) -> None:
    result = run(
        """
@pytest.mark.appid("anything")
def test_one(appid_lease, appid_client, appid_service):
    assert appid_client.base_url == appid_service.url
    assert appid_lease.appid == "anything-1"
""",
        "--appid-url=local",
    )
    result.assert_outcomes(passed=1)
    assert run.used() == []


def test_a_service_can_be_had_without_using_it_for_the_leases(run: Run) -> None:
    run("""
def test_one(appid_service, appid_client):
    assert appid_client.base_url != appid_service.url
    assert appid_service.status()["total"] == 0
""").assert_outcomes(passed=1)


# --- mistakes


def test_mistakes_fail_the_test_that_made_them_and_say_what_to_write(run: Run) -> None:
    result = run("""
def test_unmarked(appid_lease): pass

@pytest.mark.appid
def test_no_product(): pass

@pytest.mark.appid("stt", retries=3)
def test_unknown_option(): pass

@pytest.mark.appid("stt", on_exhausted="sleep")
def test_unknown_way(): pass

@pytest.mark.appid("stt", ttl=0)
def test_bad_value(): pass

@pytest.mark.appid("typo")
def test_unknown_product(): pass

@pytest.mark.appid("stt")
def test_right(): pass
""")
    result.assert_outcomes(passed=1, errors=6)
    result.stdout.fnmatch_lines_random(
        [
            '*appid_lease needs to know the product: mark the test with @pytest.mark.appid("PRODUCT")*',
            "*the marker takes the product's name*",
            "*the marker appid has no option retries; it has on_exhausted, timeout, *",
            "*on_exhausted must be one of wait, skip, fail, not 'sleep'*",
            "*ttl must be between 1 and 3600*",
            "*ProductNotFound*typo*",
        ]
    )


def test_a_wrong_ini_setting_is_a_usage_error(run: Run) -> None:
    run.pytester.makeini("[pytest]\nappid_on_exhausted = sleep\n")
    result = run("def test_one(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*appid_on_exhausted must be one of wait, skip, fail, not 'sleep'*"]
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foo", "*--appid-url must look like http://host:port, not 'foo'"),
        ("http://me:pa55@host", "*--appid-url must not hold a user name or password*"),
    ],
)
def test_a_wrong_url_is_a_usage_error(run: Run, url: str, said: str) -> None:
    result = run("def test_one(): pass", f"--appid-url={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    result.stderr.no_fnmatch_line("*pa55*")


def test_a_service_that_is_not_there_is_one_line(run: Run) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = run(
            "@pytest.mark.appid('stt', timeout=0.2)\ndef test_one(): pass", f"--appid-url={url}"
        )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"ServiceUnavailable: {url} (*): connection refused*"])
    result.stdout.no_fnmatch_line("*.py:*: ServiceUnavailable")


# --- when every AppID is taken

EXHAUSTED = """
@pytest.mark.appid("scarce")
def test_first(): pass

@pytest.mark.appid("scarce")
def test_second(): pass
"""

SCARCE = """
@pytest.fixture(scope="session", autouse=True)
def scarce(appid_client):
    appid_client.init_product("scarce", {"only": 1})
"""


def test_skip_skips(run: Run) -> None:
    run.pytester.makeini("[pytest]\nappid_on_exhausted = skip\n")
    result = run(EXHAUSTED, "-rs", conftest=SCARCE)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no AppID of product 'scarce'*the next can be free at*"])


def test_fail_fails_in_one_line_and_stands_above_the_ini_setting(run: Run) -> None:
    run.pytester.makeini("[pytest]\nappid_on_exhausted = skip\n")
    result = run(EXHAUSTED, "--appid-on-exhausted=fail", conftest=SCARCE)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["no AppID of product 'scarce'*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_mark_can_say_it_for_its_test(run: Run) -> None:
    result = run(
        EXHAUSTED.replace('("scarce")', '("scarce", on_exhausted="skip")'), conftest=SCARCE
    )
    result.assert_outcomes(passed=1, skipped=1)


def test_wait_says_so_and_goes_on_when_the_hour_turns(run: Run) -> None:
    result = run(
        EXHAUSTED,
        "--appid-url=local",
        conftest="""
import appid_manager_client.integrations.pytest as plugin
from appid_manager_client.testing import LocalService

plugin.FIRST_TRY = 0.5

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
""",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*test_it.py::test_second waits for an AppID of scarce, for about [12] s*"]
    )


def test_a_wait_with_a_timeout_ends_with_it(run: Run) -> None:
    result = run(EXHAUSTED.replace('("scarce")', '("scarce", timeout=0.2)'), conftest=SCARCE)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.no_fnmatch_line("*waits for*")


# --- reports


def test_a_failing_test_says_which_appid_it_had_and_a_passing_one_does_not(run: Run) -> None:
    result = run(
        """
@pytest.mark.appid("stt")
def test_passes(): pass

@pytest.mark.appid("stt")
def test_fails(): assert False
""",
        "-rA",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*- AppID -*", f"stt2 (vid 2) of stt at {run.url}"])
    result.stdout.no_fnmatch_line("stt1 (vid 1)*")


@pytest.mark.parametrize("more", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_the_junit_xml_has_the_appid(run: Run, more: list[str]) -> None:
    run(
        """
@pytest.mark.appid("stt")
def test_one(): pass
""",
        "--junit-xml=report.xml",
        *more,
    ).assert_outcomes(passed=1)
    tree = ElementTree.parse(run.pytester.path / "report.xml")
    properties = {p.get("name"): p.get("value") for p in tree.iter("property")}
    assert properties == {"appid": "stt1", "appid_vid": "1", "appid_product": "stt"}


def test_a_lease_that_was_lost_fails_the_test(run: Run) -> None:
    result = run("""
@pytest.mark.appid("stt", ttl=1)
def test_one(appid_lease, appid_client):
    appid_client.init_product("stt", {"stt1": 1})
    for _ in range(2000):
        if appid_lease.lost:
            return
        time.sleep(0.01)
    assert False
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*stt1 of stt was lost while the test ran*"])


# --- every way to end


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


def test_a_run_that_waits_can_be_interrupted(run: Run) -> None:
    run.client.init_product("stt", {"stt1": 1})
    taken = run.client.acquire_appid("stt")
    run.write(
        ENDLESS,
        conftest="""
import appid_manager_client.integrations.pytest as plugin

plugin.FIRST_TRY = 0.1
""",
    )
    process = run.start("-s")
    assert process.stdout is not None
    output = b""
    while b"waits for an AppID of stt" not in output:
        line = process.stdout.readline()
        assert line, output.decode()
        output += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=RUN_WITHIN)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert run.in_use() == [taken.appid]


CRASHES = """
@pytest.mark.appid("stt")
def test_crashes():
    os._exit(3)
"""


def test_what_a_crashed_worker_of_xdist_held_is_given_back(field_run: Run) -> None:
    result = field_run(CRASHES, "-n", "1")
    result.stdout.fnmatch_lines(["*worker 'gw0' crashed while running 'test_it.py::test_crashes'*"])
    assert field_run.in_use() == []
    assert field_run.used() == ["stt1"]


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


# --- what it costs those who don't use it


def test_an_installed_package_is_all_that_pytest_needs_to_find_it(
    pytester: pytest.Pytester,
) -> None:
    result = pytester.runpytest_subprocess("--markers", timeout=RUN_WITHIN)
    result.stdout.fnmatch_lines(["@pytest.mark.appid(product, *, on_exhausted=None, *"])


def test_a_pytest_that_is_too_old_runs_on_without_the_plugin(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("def test_one(): pass")
    # As old ones are: 7.4 knows its version, 6.2 does not.
    for version in ("pytest.version_tuple = (7, 4, 4)", "del pytest.version_tuple"):
        program = f"import pytest, sys; {version}; sys.exit(pytest.main(sys.argv[1:]))"
        entry = "appid_manager_client.integrations._pytest_entry"
        result = pytester.run(sys.executable, "-c", program, "-p", entry, timeout=RUN_WITHIN)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(
            ["appid-manager-client: no AppIDs for tests, they need pytest 8*"]
        )


def test_the_plugin_can_be_named_where_it_is_installed_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(): pass")
    pytester.makeconftest("pytest_plugins = ['appid_manager_client.integrations.pytest']")
    name = "appid_manager_client.integrations.pytest"
    pytester.runpytest_subprocess(timeout=RUN_WITHIN).assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", name, timeout=RUN_WITHIN).assert_outcomes(passed=1)


def test_a_run_without_marks_imports_neither_the_client_nor_what_it_needs(run: Run) -> None:
    result = run(
        "def test_one(): pass",
        conftest="""
import sys

def pytest_sessionfinish():
    found = {"requests", "urllib3", "wrapt", "appid_manager_client.client"} & set(sys.modules)
    print("imported:", sorted(found))
""",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*imported: []"])
