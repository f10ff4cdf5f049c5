"""What marked tests get, what mistakes and reports say, and what happens when nothing is free."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from appid_manager_client.testing import LocalService

from .conftest import SCARCE, Run


def test_a_marked_test_holds_an_appid_while_it_runs_and_another_one_does_not(
    run: Run, service: LocalService
) -> None:
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

    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.appid("stt", holder="me"))])
    def test_the_closest_mark_counts(self, x): pass
""")
    result.assert_outcomes(passed=5)
    assert "me" in [lease["holder"] for lease in service.history("stt", limit=4)]
    assert run.in_use() == []
    assert len(run.used()) == 4


def test_the_holder_names_the_process_and_the_test(run: Run, service: LocalService) -> None:
    run("""
import getpass, socket

@pytest.mark.appid("stt")
@pytest.mark.parametrize("n", [1], ids=["x" * 300])
def test_one(n, appid_lease):
    test = f"test_it.py::test_one[{'x' * 300}]"
    process = f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"
    assert appid_lease.holder == f"{process} {test}"[:200]

@pytest.mark.appid("stt", holder="me")
def test_two(): pass
""").assert_outcomes(passed=2)
    two, one = service.history("stt", limit=2)
    assert two["holder"] == "me"
    assert " test_it.py::test_one[xxx" in one["holder"]
    assert len(one["holder"]) == 200


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


def test_fixtures_with_parameters_and_those_that_are_named_late_hold_an_appid(run: Run) -> None:
    run("""
@pytest.fixture(params=[1, 2])
def job(request, appid_lease):
    return appid_lease

@pytest.mark.appid("stt")
def test_parameter(job, appid_lease):
    assert job is appid_lease and job.held

@pytest.mark.appid("stt")
def test_late(request):
    assert request.getfixturevalue("appid_lease").held
""").assert_outcomes(passed=3)
    assert run.used() == ["stt1", "stt2", "stt3"]


def test_coroutines_can_be_marked(run: Run) -> None:
    result = run(
        """
import unittest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.appid("stt")
async def test_one(appid_lease, appid_client):
    assert appid_lease.held
    async with appid_client.lease("stt") as lease:
        assert lease.appid == "stt2"

@pytest.mark.appid("stt")
class Case(unittest.IsolatedAsyncioTestCase):
    async def test_two(self): pass
""",
        "-p",
        "anyio",
    )
    result.assert_outcomes(passed=2)
    assert run.used() == ["stt1", "stt2", "stt3"]


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
            "*appid_lease needs to know the product: "
            'mark the test with @pytest.mark.appid("PRODUCT")*',
            "*the product is named by one text: @pytest.mark.appid(*",
            "*there is no option retries; there are on_exhausted, pool, timeout, *",
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


# --- when every AppID is taken

EXHAUSTED = """
@pytest.mark.appid("scarce")
def test_first(): pass

@pytest.mark.appid("scarce")
def test_second(): pass
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


@pytest.mark.parametrize(
    ("option", "outcome"), [('on_exhausted="skip"', "skipped"), ("timeout=0.2", "errors")]
)
def test_a_mark_can_say_it_for_its_test(run: Run, option: str, outcome: str) -> None:
    result = run(EXHAUSTED.replace('("scarce")', f'("scarce", {option})'), conftest=SCARCE)
    result.assert_outcomes(**{"passed": 1, outcome: 1})
    result.stdout.no_fnmatch_line("*waiting*")


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
