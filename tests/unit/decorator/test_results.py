"""A result that works on after the call, without the AppID, is pointed out once a function."""

import asyncio
import concurrent.futures
import io
import itertools
import subprocess
import sys
import warnings
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock

import pytest

from appid_manager_client import uses_appid

from .kinds import run


class Rows:
    """An iterator of somebody's own."""

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration


class AsyncRows:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration


class Awaitable:
    def __await__(self):
        yield


class Streaming:
    """As Starlette's: an application that can be called, with a body that is iterated later."""

    body_iterator = AsyncRows()

    async def __call__(self, scope, receive, send): ...


def flask_response(body):
    from flask import Response

    return Response(body)


def django_response(kind, body):
    from django.conf import settings
    from django.http import HttpResponse, StreamingHttpResponse

    if not settings.configured:
        settings.configure()
    return {"whole": HttpResponse, "streaming": StreamingHttpResponse}[kind](body)


def starlette_response(kind, body):
    from starlette import responses

    return getattr(responses, kind)(body)


LATER = {
    "map": lambda: map(str, [1]),
    "zip": lambda: zip("ab", Rows()),
    "chain": lambda: itertools.chain([1], Rows()),
    "iterator": Rows,
    "async iterator": AsyncRows,
    "awaitable": Awaitable,
    "future": concurrent.futures.Future,
    "Starlette": lambda: starlette_response("StreamingResponse", Rows()),
    "like Starlette": Streaming,
    "Flask": lambda: flask_response(Rows()),
    "Flask with status": lambda: (flask_response(Rows()), 201),
    "iterator with status": lambda: (map(str, [1]), 201, {}),
    "Django": lambda: django_response("streaming", Rows()),
}


def done():
    future = concurrent.futures.Future()
    future.set_result(1)
    return future


AT_ONCE = {
    "none": lambda: None,
    "text": lambda: "text",
    "list": lambda: [1],
    "empty": lambda: (),
    "tuple": lambda: (1, 2),
    "object": lambda: SimpleNamespace(x=1),
    "function": lambda: print,
    "class": lambda: dict,
    "mock": Mock,
    "mock of everything": MagicMock,
    "iterator over data": lambda: iter([1, 2]),
    "reversed": lambda: reversed([1]),
    "range": lambda: range(3),
    "view": lambda: {}.keys(),
    "bytes in memory": lambda: io.BytesIO(b"x"),
    "file": lambda: open(__file__),
    "future that is done": done,
    "Starlette": lambda: starlette_response("JSONResponse", {}),
    "Flask": lambda: flask_response("whole"),
    "Django": lambda: django_response("whole", "whole"),
}


def coroutine_of(make, pool):
    @uses_appid(pool=pool)
    async def job():
        return make()

    return lambda: run(job())


def plain_of(make, pool):
    @uses_appid(pool=pool)
    def job():
        return make()

    return job


@pytest.mark.parametrize("of", [plain_of, coroutine_of])
@pytest.mark.parametrize("make", LATER.values(), ids=LATER)
def test_what_works_later_is_warned_of(pool, of, make):
    call = of(make, pool)
    with pytest.warns(
        RuntimeWarning, match=r"job\(\) returned a \w+, which goes on working"
    ) as seen:
        call()
    assert seen[0].filename == __file__, "it names the place of the function"


@pytest.mark.parametrize("of", [plain_of, coroutine_of])
@pytest.mark.parametrize("make", AT_ONCE.values(), ids=AT_ONCE)
def test_what_is_there_already_is_not(pool, of, make):
    result = of(make, pool)()
    if isinstance(result, io.TextIOBase):
        result.close()


def test_a_task_that_a_function_started_is_warned_of(pool):
    @uses_appid(pool=pool)
    def start():
        return asyncio.get_running_loop().create_task(asyncio.sleep(0))

    async def main():
        with pytest.warns(RuntimeWarning, match="returned a Task"):
            await start()

    asyncio.run(main())


@pytest.mark.parametrize("returned", ["generator", "coroutine"])
def test_a_coroutine_function_that_returns_what_has_not_run_is_warned_of(pool, returned):
    async def coroutine(): ...

    @uses_appid(pool=pool)
    async def job():
        return (i for i in range(3)) if returned == "generator" else coroutine()

    with pytest.warns(RuntimeWarning, match=f"returned a {returned}"):
        run(job()).close()


def test_it_is_said_once_for_a_function(pool):
    first, second = plain_of(Rows, pool), coroutine_of(Rows, pool)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            first()
            second()
    assert len(seen) == 2


def test_a_program_without_any_settings_shows_it():
    program = """if True:
        from appid_manager_client import uses_appid
        from tests.unit.decorator.fakepool import FakePool

        @uses_appid(pool=FakePool())
        def rows():
            return map(str, [1])

        assert list(rows()) == list(rows()) == ["1"]
    """
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert shown.stderr.count(b"RuntimeWarning: rows() returned a map, which goes on working") == 1
