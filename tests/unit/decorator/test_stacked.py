"""Several decorators on one function, partials, and instances that can be called."""

import functools

import pytest

from appid_manager_client import INJECTED, uses_appid

from .fakepool import FakePool


def test_two_decorators_hold_two_appids_and_inject_each_where_it_belongs(pool):
    @uses_appid(pool=pool, inject="source")
    @uses_appid(pool=pool, inject="target")
    def copy(x, source=INJECTED, target=INJECTED):
        assert sorted(pool.held) == sorted([source.appid, target.appid])
        return x, source.appid, target.appid

    assert copy(1) == (1, "appid1", "appid2")
    assert pool.used == 2


def test_they_may_stand_in_either_order(pool):
    @uses_appid(pool=pool, inject="target")
    @uses_appid(pool=pool, inject="source")
    def copy(x, source=INJECTED, target=INJECTED):
        return x, source.appid, target.appid

    assert copy(1) == (1, "appid2", "appid1")


def test_the_same_name_twice_gives_the_body_the_nearest_ones_lease(pool):
    other = FakePool()

    @uses_appid(pool=other)
    @uses_appid(pool=pool)
    def job(lease=INJECTED):
        assert other.held and pool.held == [lease.appid]
        return lease

    assert job().pool is pool
    assert (other.used, pool.used) == (1, 1)


def test_stacked_methods_bind(pool):
    class Job:
        @uses_appid(pool=pool, inject="source")
        @uses_appid(pool=pool, inject="target")
        def copy(self, x, *, source=INJECTED, target=INJECTED):
            return self, x, source.appid, target.appid

        @uses_appid(pool=pool, inject="source")
        @uses_appid(pool=pool, inject="target")
        @classmethod
        def make(cls, *, source=INJECTED, target=INJECTED):
            return cls, source.appid, target.appid

    job = Job()
    assert job.copy(1) == (job, 1, "appid1", "appid2")
    assert Job.make() == (Job, "appid3", "appid4")


def test_a_stacked_generator_holds_both_while_it_runs(pool):
    @uses_appid(pool=pool)
    @uses_appid(pool=pool, inject=None)
    def numbers(lease=INJECTED):
        yield lease.appid, len(pool.held)

    assert list(numbers()) == [("appid1", 2)]


def test_a_partial_is_decorated_as_what_it_stands_for(pool):
    def job(a, b, *, lease=INJECTED):
        return a, b, lease.appid

    assert uses_appid(pool=pool)(functools.partial(job, 1))(2) == (1, 2, "appid1")


def test_a_partial_with_a_lease_given_still_gets_its_own(pool):
    def job(*, lease=INJECTED):
        return lease.appid

    given = functools.partial(job, lease=None)
    assert uses_appid(pool=pool)(given)() == "appid1"


def test_a_partial_of_a_decorated_function_works(pool):
    @uses_appid(pool=pool)
    def job(a, b, lease=INJECTED):
        return a, b, lease.appid

    assert functools.partial(job, 1)(b=2) == (1, 2, "appid1")


def test_a_partial_method_of_a_decorated_method_works(pool):
    class Job:
        @uses_appid(pool=pool)
        def run(self, a, b, lease=INJECTED):
            return a, b, lease.appid

        run_one = functools.partialmethod(run, 1)

    assert Job().run_one(2) == (1, 2, "appid1")


def test_a_partial_of_a_generator_function_is_lazy(pool):
    def numbers(n, *, lease=INJECTED):
        yield from range(n)

    generator = uses_appid(pool=pool)(functools.partial(numbers, 2))()
    assert pool.asked == []
    assert list(generator) == [0, 1]


@pytest.mark.parametrize("place", ["module", "class"])
def test_an_instance_that_can_be_called_is_decorated(pool, place):
    class Job:
        def __call__(self, x, lease=INJECTED):
            return x, lease.appid

    run = uses_appid(pool=pool)(Job())

    class Holder:
        attribute = run

    call = run if place == "module" else Holder().attribute
    assert call(1) == (1, "appid1")


def test_singledispatch_above_it_dispatches(pool):
    @functools.singledispatch
    @uses_appid(pool=pool)
    def job(x, *, lease=INJECTED):
        return "any", lease.appid

    @job.register
    @uses_appid(pool=pool)
    def _(x: int, *, lease=INJECTED):
        return "int", lease.appid

    assert (job("a"), job(1)) == (("any", "appid1"), ("int", "appid2"))
