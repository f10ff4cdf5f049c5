"""Generators hold their AppID from the first `next` until they are exhausted, closed or broken."""

import contextlib
import gc

import pytest

from appid_manager_client import INJECTED, uses_appid


@pytest.fixture
def numbers(pool):
    @uses_appid(pool=pool)
    def numbers(n, *, lease=INJECTED):
        """Count."""
        for i in range(n):
            yield i, lease.appid
        return "end"

    return numbers


def test_close_gives_back(pool, numbers):
    generator = numbers(3)
    next(generator)
    generator.close()
    assert pool.ended == [("appid1", GeneratorExit)]


def test_a_forgotten_generator_gives_back(pool, numbers):
    generator = numbers(3)
    next(generator)
    del generator
    gc.collect()
    assert pool.held == []


def test_values_and_exceptions_sent_in_reach_the_body(pool):
    @uses_appid(pool=pool)
    def echo(lease=INJECTED):
        sent = yield "ready"
        try:
            yield sent
        except ValueError as error:
            yield str(error)
        return "result"

    generator = echo()
    assert next(generator) == "ready"
    assert generator.send("hello") == "hello"
    assert generator.throw(ValueError("thrown")) == "thrown"
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "result"
    assert pool.held == []


def test_it_can_be_delegated_to(numbers):
    def outer():
        return (yield from numbers(1))

    generator = outer()
    assert next(generator) == (0, "appid1")
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"


def test_a_generator_method_works(pool):
    class Job:
        @uses_appid(pool=pool)
        def steps(self, lease=INJECTED):
            yield self, lease.appid

    job = Job()
    assert list(job.steps()) == [(job, "appid1")]


def test_below_contextmanager_the_block_holds_the_appid(pool):
    @contextlib.contextmanager
    @uses_appid(pool=pool)
    def session(lease=INJECTED):
        yield lease.appid

    with session() as appid:
        assert pool.held == [appid]
    assert pool.held == []


def test_a_plain_function_that_returns_a_generator_is_refused(pool):
    @uses_appid(pool=pool)
    def lazy():
        return (i for i in range(3))

    with pytest.raises(TypeError, match="run after the AppID was given back"):
        lazy()
    assert pool.used == 1
