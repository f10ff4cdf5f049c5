"""Several decorators on one function, partials, and instances that can be called."""

import functools

import pytest

from appid_manager_client import INJECTED, uses_appid

from .fakepool import FakePool


@pytest.mark.parametrize("outer, inner", [("source", "target"), ("target", "source")])
def test_two_decorators_hold_two_appids_and_inject_each_where_it_belongs(pool, outer, inner):
    @uses_appid(pool=pool, inject=outer)
    @uses_appid(pool=pool, inject=inner)
    def copy(x, source=INJECTED, target=INJECTED):
        appids = {"source": source.appid, "target": target.appid}
        assert sorted(pool.held) == sorted(appids.values())
        return x, appids[outer], appids[inner]

    assert copy(1) == (1, "appid1", "appid2")
    assert pool.used == 2


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
    given = functools.partial(job, 1, lease=None)
    assert uses_appid(pool=pool)(given)(2) == (1, 2, "appid2"), "it still gets a lease of its own"


def test_a_partial_of_a_decorated_function_works(pool):
    @uses_appid(pool=pool)
    def job(a, b, lease=INJECTED):
        return a, b, lease.appid

    assert functools.partial(job, 1)(b=2) == (1, 2, "appid1")


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
