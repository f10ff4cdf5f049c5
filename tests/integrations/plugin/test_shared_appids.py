"""One AppID for many tests: of a class, of a module, from a pool, or for a fixture of any scope."""

from __future__ import annotations

import pytest

from appid_manager_client.testing import LocalService

from .conftest import SCARCE, Run

SHARED = """
pytestmark = pytest.mark.appid("stt")
seen = []

@pytest.fixture(scope="module")
def job(appid_module_lease):
    return appid_module_lease.appid

def test_a(job):
    seen.append(job)

def test_b(appid_module_lease):
    seen.append(appid_module_lease.appid)
    assert len(set(seen)) == 1
"""


def test_a_module_and_fixtures_of_its_scope_share_one_lease(
    run: Run, service: LocalService
) -> None:
    run(SHARED).assert_outcomes(passed=2)
    assert run.used() == ["stt1"]
    assert run.in_use() == []
    [lease] = service.history("stt", limit=1)
    assert lease["holder"].endswith(" test_it.py")


def test_a_class_shares_one_lease_and_the_next_class_has_another(run: Run) -> None:
    run("""
@pytest.mark.appid("stt")
class TestFirst:
    def test_a(self, appid_class_lease):
        assert appid_class_lease.appid == "stt1"

    def test_b(self, appid_class_lease):
        assert appid_class_lease.appid == "stt1"

@pytest.mark.appid("stt")
@pytest.mark.usefixtures("appid_class_lease")
class TestSecond(TestFirst):
    def test_a(self, appid_client):
        in_use = [e["appid"] for e in appid_client.get_status("stt")["appids"]
                  if e["status"] == "in_use"]
        assert in_use == ["stt2"]

    test_b = None

@pytest.mark.appid("stt")
def test_a_function_is_a_class_of_its_own(appid_class_lease):
    assert appid_class_lease.appid == "stt3"
""").assert_outcomes(passed=4)
    assert run.used() == ["stt1", "stt2", "stt3"]


def test_a_class_of_unittest_shares_one_lease(run: Run) -> None:
    run("""
import unittest

@pytest.fixture(scope="class")
def lease(request, appid_class_lease):
    request.cls.lease = appid_class_lease

@pytest.mark.appid("stt")
@pytest.mark.usefixtures("lease")
class Case(unittest.TestCase):
    def test_one(self):
        assert self.lease.appid == "stt1"

    def test_two(self):
        assert self.lease.appid == "stt1" and self.lease.held
""").assert_outcomes(passed=2)
    assert run.used() == ["stt1"]


def test_a_closer_mark_asks_for_an_appid_beside_the_shared_one(run: Run) -> None:
    run("""
@pytest.mark.appid("stt")
class TestClass:
    def test_shared(self, appid_class_lease): pass

    @pytest.mark.appid("stt", holder="me")
    def test_both(self, appid_class_lease, appid_lease):
        assert (appid_class_lease.appid, appid_lease.appid) == ("stt1", "stt2")

    @pytest.mark.appid("stt", holder="me")
    def test_its_own_without_asking(self, appid_class_lease): pass
""").assert_outcomes(passed=3)
    assert run.used() == ["stt1", "stt2", "stt3"]


def test_a_shared_lease_needs_the_mark_where_it_is_shared(run: Run) -> None:
    result = run("""
@pytest.mark.appid("stt")
def test_module(appid_module_lease): pass

class TestClass:
    @pytest.mark.appid("stt")
    def test_class(self, appid_class_lease): pass
""")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "appid_module_lease needs to know the product: write in the module: "
            'pytestmark = pytest.mark.appid("PRODUCT")',
            "appid_class_lease needs to know the product: mark the class with "
            '@pytest.mark.appid("PRODUCT")',
        ]
    )
    assert run.used() == []


def test_a_shared_lease_stands_in_the_report_of_each_test(run: Run) -> None:
    result = run("""
pytestmark = pytest.mark.appid("stt")

def test_passes(appid_module_lease): pass

def test_fails(appid_module_lease): assert False
""")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*- AppID -*", f"stt1 (vid 1) of stt at {run.url}"])


def test_every_test_fails_that_used_a_shared_lease_after_it_was_lost(run: Run) -> None:
    result = run("""
pytestmark = pytest.mark.appid("stt", ttl=1)

def test_before(appid_module_lease): pass

def test_meanwhile(appid_module_lease, appid_client):
    appid_client.init_product("stt", {"stt1": 1})
    for _ in range(2000):
        if appid_module_lease.lost:
            return
        time.sleep(0.01)
    assert False

def test_after(appid_module_lease): pass
""")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*stt1 of stt was lost while the test ran*"] * 2)


def test_a_fixture_of_any_scope_holds_an_appid_through_the_factory(run: Run) -> None:
    result = run(
        """
def test_one(lease):
    assert lease.appid == "stt1" and lease.held

def test_two(lease):
    assert lease.appid == "stt1" and lease.held

def test_wrong(appid_lease_factory):
    with appid_lease_factory("stt", retries=3): pass
""",
        conftest="""
@pytest.fixture(scope="session")
def lease(appid_lease_factory):
    with appid_lease_factory("stt", min_remaining=1) as lease:
        yield lease
""",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*there is no option retries; there are on_exhausted, pool, *"])
    assert run.used() == ["stt1"]


# --- the pool

HUNDRED = """
@pytest.mark.appid("stt", pool=True)
@pytest.mark.parametrize("n", range(100))
def test_one(n, appid_lease):
    assert n % 10 and appid_lease.held
"""


def test_a_hundred_tests_that_fail_now_and_then_need_one_appid_of_the_pool(
    run: Run, field_run: Run
) -> None:
    for each in (run, field_run):
        each(HUNDRED).assert_outcomes(passed=90, failed=10)
        assert each.used() == ["stt1"]
        assert each.in_use() == []


@pytest.mark.parametrize("dist", ["load", "loadscope"])
def test_each_worker_of_xdist_has_a_pool_of_its_own(run: Run, dist: str) -> None:
    result = run(HUNDRED, "-n", "4", "--dist", dist)
    result.assert_outcomes(passed=90, failed=10)
    assert 1 <= len(run.used()) <= 4
    assert run.in_use() == []


def test_tests_can_take_leases_of_the_pool_themselves(run: Run) -> None:
    run("""
@pytest.fixture(scope="session")
def pool(appid_pool):
    return appid_pool("stt", max_size=2)

@pytest.mark.parametrize("n", range(20))
def test_one(n, pool, appid_pool):
    assert pool is appid_pool("stt")
    with pool.lease() as one, pool.lease() as two:
        assert {one.appid, two.appid} == {"stt1", "stt2"}

def test_a_checkout_that_raises_uses_up_nothing(pool):
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), pool.lease():
            1 / 0
""").assert_outcomes(passed=21)
    assert sorted(run.used()) == ["stt1", "stt2"]


def test_mistakes_with_the_pool_are_one_line(run: Run) -> None:
    result = run("""
@pytest.mark.appid("stt", pool=True, ttl=5)
def test_option_of_the_pool(): pass

@pytest.mark.appid("stt", pool="yes")
def test_not_a_bool(): pass

@pytest.mark.appid("typo", pool=True)
def test_unknown_product(): pass

def test_other_options(appid_pool):
    appid_pool("stt", max_size=2)
    appid_pool("stt", max_size=3)

def test_unknown_option(appid_pool):
    appid_pool("other", size=3)
""")
    result.assert_outcomes(errors=3, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "there is no option ttl with pool=True; there are on_exhausted, pool, timeout, *",
            "pool must be True or False, not 'yes'",
            "ProductNotFound: *typo*",
            "the pool of stt was made with other options ({'max_size': 2}): *",
            "*unexpected keyword argument 'size'*",
        ]
    )


def test_an_exhausted_pool_skips_or_fails_as_the_mark_says(run: Run) -> None:
    result = run(
        """
def test_takes_it(request, appid_pool):
    lease = appid_pool("scarce").lease().acquire()
    request.session.addfinalizer(lease.release)

@pytest.mark.appid("scarce", pool=True, on_exhausted="skip", timeout=0.2)
def test_skips(): pass

@pytest.mark.appid("scarce", pool=True, on_exhausted="fail", timeout=0.2)
def test_fails(): pass

@pytest.mark.appid("scarce", pool=True, timeout=0.2)
def test_waits(): pass
""",
        "-rs",
        conftest=SCARCE,
    )
    result.assert_outcomes(passed=1, skipped=1, errors=2)
    result.stdout.fnmatch_lines(["SKIPPED [[]1] test_it.py:*: no lease of product 'scarce'*"])


def test_a_pool_of_the_run_s_own_service_knows_every_product(run: Run) -> None:
    run(
        """
def test_one(appid_pool):
    with appid_pool("anything").lease() as lease:
        assert lease.appid == "anything-1"

@pytest.mark.appid("another", pool=True)
def test_two(appid_lease):
    assert appid_lease.appid == "another-1"
""",
        "--appid-url=local",
    ).assert_outcomes(passed=2)


def test_with_xdist_each_scope_that_stays_on_one_worker_has_one_lease(run: Run) -> None:
    run.write(SHARED)
    run.pytester.makepyfile(test_other="import pytest\n" + SHARED)
    result = run.again("-n", "2", "--dist", "loadscope")
    result.assert_outcomes(passed=4)
    assert run.used() == ["stt1", "stt2"]
    assert run.in_use() == []
