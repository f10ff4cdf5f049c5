"""Plain functions: which arguments arrive, and whose lease the body gets."""

import functools

import pytest

from appid_manager_client import INJECTED, uses_appid

from .fakepool import FakeLease, shared_pool

pytestmark = pytest.mark.usefixtures("pool")


@uses_appid(pool=shared_pool)
def bill(minutes, rate=2, *, lease=INJECTED):
    """Bill some minutes."""
    return lease.appid, minutes * rate


def test_its_arguments_arrive_as_they_were_passed():
    assert [bill(3), bill(minutes=2, rate=5)] == [("appid1", 6), ("appid2", 10)]


def test_a_function_without_the_parameter_holds_an_appid_all_the_same(pool):
    @uses_appid(pool=pool)
    def count(*numbers, **named):
        return len(pool.held), numbers, named

    assert count(1, 2, a=3) == (1, (1, 2), {"a": 3})


def test_a_lease_passed_by_position_counts_as_the_callers_own(pool):
    @uses_appid(pool=pool)
    def job(x, lease=INJECTED):
        return x, lease

    assert job(1, "mine") == (1, "mine")
    assert pool.asked == []
    assert job(2)[1].appid == "appid1"


def test_passing_the_placeholder_on_is_no_lease_of_the_callers():
    def outer(lease=INJECTED):
        return bill(1, lease=lease)

    assert outer()[0] == "appid1"


def test_a_function_that_takes_anything_passes_a_lease_on_without_a_second_appid(pool):
    @uses_appid(pool=pool)
    def anything(**named):
        return named

    assert anything(lease="mine") == {"lease": "mine"}
    assert pool.asked == []


def test_arguments_may_have_any_name(pool):
    @uses_appid(pool=pool)
    def odd(self, args, kwargs, plan, *, wrapped=0):
        return self, args, kwargs, plan, wrapped

    assert odd(self=1, args=2, kwargs=3, plan=4, wrapped=5) == (1, 2, 3, 4, 5)


def test_positional_only_arguments_pass_through(pool):
    @uses_appid(pool=pool)
    def job(a, b, /, c, *, lease):
        return a, b, c, lease.appid

    assert job(1, 2, 3) == (1, 2, 3, "appid1")


def test_a_decorated_function_calls_itself_with_one_appid_for_each_call(pool):
    @uses_appid(pool=pool)
    def down(n, *, lease=INJECTED):
        return [*([] if n == 0 else down(n - 1)), lease.appid]

    assert down(2) == ["appid3", "appid2", "appid1"]


def test_a_decorated_function_passes_its_lease_on(pool):
    @uses_appid(pool=pool)
    def inner(*, lease=INJECTED):
        return lease.appid

    @uses_appid(pool=pool)
    def outer(*, lease=INJECTED):
        return lease.appid, inner(lease=lease)

    assert outer() == ("appid1", "appid1")
    assert pool.used == 1


def test_a_lambda_and_a_builtin_are_functions_too(pool):
    assert uses_appid(pool=pool)(lambda lease: lease.appid)() == "appid1"
    assert uses_appid(pool=pool)(len)([1, 2]) == 2
    assert uses_appid(pool=pool)(max)(1, 2) == 2
    assert pool.used == 3


def test_the_original_is_there_for_tests_without_any_appid(pool):
    assert bill.__wrapped__ is not bill
    assert bill.__wrapped__(2, lease=FakeLease(pool)) == ("appid1", 4)
    assert pool.asked == []


def test_the_undecorated_function_says_what_is_missing():
    with pytest.raises(AttributeError, match="'appid'.*@uses_appid fills this parameter"):
        INJECTED.appid


def test_it_keeps_its_name_docstring_and_module():
    assert (bill.__name__, bill.__doc__, bill.__module__) == (
        "bill",
        "Bill some minutes.",
        __name__,
    )
    assert bill.__qualname__ == "bill"
    assert repr(bill).startswith("<uses_appid <function bill")


def test_a_wrapper_above_it_sees_an_ordinary_function(pool):
    @functools.lru_cache
    @uses_appid(pool=pool)
    def job(x, *, lease=INJECTED):
        return x, lease.appid

    assert job(1) == job(1) == (1, "appid1")
    assert pool.used == 1


def test_the_placeholder_is_shown_by_its_name():
    assert repr(INJECTED) == "INJECTED"
    assert not hasattr(INJECTED, "appid")
