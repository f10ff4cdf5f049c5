"""Coroutine functions and async generators, on a real event loop."""

import asyncio
import contextlib
import functools
import gc
import inspect

import pytest

from appid_manager_client import INJECTED, uses_appid


def test_a_cancelled_coroutine_gives_back(pool):
    async def main():
        started = asyncio.Event()

        @uses_appid(pool=pool)
        async def job():
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(job())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert pool.ended == [("appid1", asyncio.CancelledError)]


def test_coroutines_at_the_same_time_have_an_appid_each(pool):
    @uses_appid(pool=pool)
    async def job(*, lease=INJECTED):
        await asyncio.sleep(0)
        return lease.appid

    async def main():
        return await asyncio.gather(*(job() for _ in range(5)))

    assert len(set(asyncio.run(main()))) == 5


def test_methods_and_class_methods_may_be_coroutine_functions(pool):
    class Job:
        @uses_appid(pool=pool)
        async def run(self, lease=INJECTED):
            return self, lease.appid

        @uses_appid(pool=pool)
        @classmethod
        async def build(cls, *, lease=INJECTED):
            return cls, lease.appid

    job = Job()
    assert asyncio.run(job.run()) == (job, "appid1")
    assert asyncio.run(Job.build()) == (Job, "appid2")


def test_an_instance_with_a_coroutine_call_is_one(pool):
    class Job:
        async def __call__(self, x, *, lease=INJECTED):
            return x, lease.appid

    run = uses_appid(pool=pool)(Job())
    assert asyncio.run(run(1)) == (1, "appid1")
    assert inspect.iscoroutinefunction(run.__call__)


def test_a_partial_of_a_coroutine_function_is_one(pool):
    async def job(x, y, *, lease=INJECTED):
        return x, y, lease.appid

    run = uses_appid(pool=pool)(functools.partial(job, 1))
    assert asyncio.run(run(2)) == (1, 2, "appid1")


def test_a_wrapper_that_hides_a_coroutine_is_refused_before_the_body_runs(pool):
    ran = []

    async def job():
        ran.append(1)

    @uses_appid(pool=pool)
    def hidden():
        return job()

    with pytest.raises(TypeError, match="returned a coroutine.*directly above the 'async def'"):
        hidden()
    assert not ran


def test_a_wrapper_that_runs_the_coroutine_itself_is_a_plain_function(pool):
    def runs(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return asyncio.run(function(*args, **kwargs))

        return wrapper

    @uses_appid(pool=pool)
    @runs
    async def job(*, lease=INJECTED):
        assert pool.held == [lease.appid]
        return lease.appid

    assert job() == "appid1"


def test_aclose_gives_back_after_the_body_has_cleaned_up(pool):
    seen = []

    @uses_appid(pool=pool)
    async def numbers(lease=INJECTED):
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(list(pool.held))

    async def main():
        generator = numbers()
        await anext(generator)
        await generator.aclose()

    asyncio.run(main())
    assert seen == [["appid1"]]
    assert pool.ended == [("appid1", GeneratorExit)]


def test_leaving_a_loop_early_gives_back_when_the_generator_is_collected(pool):
    @uses_appid(pool=pool)
    async def numbers():
        yield 1
        yield 2

    async def main():
        async for _ in numbers():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert pool.held == []

    asyncio.run(main())


def test_what_is_sent_and_thrown_reaches_the_body(pool):
    @uses_appid(pool=pool)
    async def echo():
        sent = yield "ready"
        try:
            yield sent
        except ValueError as error:
            yield str(error)

    async def main():
        generator = echo()
        assert await anext(generator) == "ready"
        assert await generator.asend("hello") == "hello"
        assert await generator.athrow(ValueError("thrown")) == "thrown"
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    asyncio.run(main())
    assert pool.held == []


def test_below_asynccontextmanager_the_block_holds_the_appid(pool):
    @contextlib.asynccontextmanager
    @uses_appid(pool=pool)
    async def session(lease=INJECTED):
        yield lease.appid

    async def main():
        async with session() as appid:
            assert pool.held == [appid]

    asyncio.run(main())
    assert pool.held == []
