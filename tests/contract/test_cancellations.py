"""A task that is cancelled at each single await, in turn: no AppID is lost by any."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from appid_manager_client import AppIdClient
from tests.support.faults import Fault
from tests.support.services import AnyService, turned_client
from tests.support.waiting import wait_until


class CancelledAt:
    """Awaits `work`, and cancels its task as it suspends for the `nth` time (then: `struck`)."""

    def __init__(self, nth: int, work: Coroutine[Any, Any, None]) -> None:
        self._left = nth
        self._work = work
        self.struck = False

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration:
                return
            self._left -= 1
            if not self._left:
                self.struck = True
                task = asyncio.current_task()
                assert task is not None and task.cancel()
            error = None
            try:
                yield waits_for
            except BaseException as thrown:
                error = thrown


async def _block(client: AppIdClient) -> None:
    async with client.lease("p", ttl=None):
        await asyncio.sleep(0)


async def _renewed(client: AppIdClient) -> None:
    async with client.lease("p", ttl=None) as lease:
        await lease.renew_async()


@pytest.mark.parametrize("use", [_block, _renewed])
@pytest.mark.parametrize("fault", [None, Fault.UNAVAILABLE])
def test_at_whichever_await_a_task_is_cancelled_the_appid_is_given_back(
    any_service: AnyService,
    use: Callable[[AppIdClient], Coroutine[Any, Any, None]],
    fault: Fault | None,
) -> None:
    async def main(client: AppIdClient, nth: int) -> bool:
        cancelled = CancelledAt(nth, use(client))

        async def work() -> None:
            await cancelled

        try:
            await asyncio.create_task(work())
        except asyncio.CancelledError:
            pass
        return cancelled.struck

    with turned_client(any_service) as client:
        for nth in range(1, 1000):
            any_service.init("p", {"a": 1, "b": 1})
            any_service.advance_to_next_hour(-3)
            if fault is not None:
                any_service.faults.queue("acquire", fault)
            struck = asyncio.run(main(client, nth))
            any_service.faults.clear()
            if not struck:
                break
            gc.collect()
            wait_until(lambda: client._keeper.idle and not any_service.in_use())
    assert 3 < nth < 999
