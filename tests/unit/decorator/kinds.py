"""One function of each kind, around the same body, and the way to run a call of any of them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from appid_manager_client import INJECTED, Lease

Body = Callable[[Lease], object]


def plain(body: Body) -> Callable[..., object]:
    def job(*, lease: Lease = INJECTED) -> object:
        return body(lease)

    return job


def coroutine(body: Body) -> Callable[..., object]:
    async def job(*, lease: Lease = INJECTED) -> object:
        return body(lease)

    return job


def generator(body: Body) -> Callable[..., object]:
    def job(*, lease: Lease = INJECTED) -> Iterator[object]:
        yield body(lease)
        yield body(lease)

    return job


def async_generator(body: Body) -> Callable[..., object]:
    async def job(*, lease: Lease = INJECTED) -> AsyncIterator[object]:
        yield body(lease)
        yield body(lease)

    return job


LAZY = [coroutine, generator, async_generator]
"""The kinds whose body doesn't run at the call."""

EVERY = [plain, *LAZY]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits: without a loop, so that any exception can come out."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def finish(call: Any, run: Callable[[Coroutine[Any, Any, Any]], Any] = run) -> Any:
    """Run a call of any kind to its end. Returns what its body returned, each time if it yields."""
    if inspect.iscoroutine(call):
        return run(call)
    if inspect.isgenerator(call):
        first, second = call
    elif inspect.isasyncgen(call):
        first, second = run(_collect(call))
    else:
        return call
    assert first == second
    return first


def close(call: Any) -> None:
    """End a call that was never started."""
    if inspect.isasyncgen(call):
        run(call.aclose())
    else:
        call.close()


async def _collect(generator: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in generator]
