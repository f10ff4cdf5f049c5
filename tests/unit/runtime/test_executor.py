"""Calls on threads of an executor: each runs once, and is waited for by threads and coroutines."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from appid_manager_client.runtime.coroutines import Naps, wait_for
from appid_manager_client.runtime.executor import Call, Executor
from appid_manager_client.runtime.time import SystemTime
from tests.support.waiting import PATIENCE


@pytest.fixture
def executor() -> Iterator[Executor]:
    made = Executor("test", 2, SystemTime())
    yield made
    made.close(PATIENCE)


def test_a_call_is_done_when_it_returned_or_raised(executor: Executor) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    good, bad = executor.start(lambda: 7), executor.start(fail)
    assert good.wait(PATIENCE) and bad.wait(PATIENCE)
    assert good.result() == 7
    with pytest.raises(LookupError, match="nothing there"):
        bad.result()


def test_a_call_that_is_not_done_says_so_and_goes_on(executor: Executor) -> None:
    go_on = threading.Event()
    call = executor.start(lambda: go_on.wait(PATIENCE))
    assert not call.wait(0.01) and not call.wait(-1.0)
    with pytest.raises(TimeoutError):
        call.result()
    go_on.set()
    assert call.wait(None) and call.result() is True


def test_a_call_runs_once_and_not_at_all_when_it_was_dropped_before() -> None:
    ran: list[str] = []
    once, dropped = Call(lambda: ran.append("once")), Call(lambda: ran.append("dropped"))
    dropped.drop()
    for call in (once, once, dropped):
        call.run()
    assert ran == ["once"] and not dropped.done


def test_what_a_call_raised_keeps_nothing_alive() -> None:
    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)

    def fail(kept: Big = big) -> None:
        raise LookupError

    call = Call(fail)
    del fail, big
    gc.disable()
    try:
        call.run()
        try:
            call.result()
        except LookupError:
            pass
        del call
        assert gone() is None
    finally:
        gc.enable()


def test_a_coroutine_waits_for_a_call_at_most_its_seconds(executor: Executor) -> None:
    go_on = threading.Event()

    async def main() -> None:
        call = executor.start(lambda: go_on.wait(PATIENCE))
        assert not await wait_for(call, 0.01)
        go_on.set()
        assert await wait_for(call, PATIENCE)
        assert await wait_for(call), "it is done already"

    asyncio.run(main())


def test_a_call_that_ends_after_its_loop_was_closed_disturbs_nobody(executor: Executor) -> None:
    go_on = threading.Event()
    calls: list[Call[bool]] = []

    async def main() -> None:
        calls.append(executor.start(lambda: go_on.wait(PATIENCE)))
        task = asyncio.create_task(wait_for(calls[0]))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    go_on.set()
    assert calls[0].wait(PATIENCE) and calls[0].error is None
    assert executor.start(lambda: 7).wait(PATIENCE), "its thread goes on"


def test_one_timer_wakes_all_that_nap(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers: list[float] = []
        later = loop.call_later

        def counted(delay: float, *work: object) -> asyncio.TimerHandle:
            timers.append(delay)
            return later(delay, *work)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "call_later", counted)
        naps = Naps(loop, 0.02)
        sleepers = [loop.create_future() for _ in range(100)]
        for sleeper in sleepers:
            naps.begin(sleeper)
        sleepers[0].cancel()
        sleepers[1].set_result(None)
        await asyncio.wait(sleepers)
        assert timers == [0.02]
        again = loop.create_future()
        naps.begin(again)
        await again
        assert timers == [0.02, 0.02]

    asyncio.run(main())


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent
from appid_manager_client.runtime.signals import interrupts_strike_here
print(gevent.spawn(interrupts_strike_here).get())
"""


def test_calls_leave_a_greenlet_which_a_time_limit_may_interrupt() -> None:
    pytest.importorskip("gevent")
    done = subprocess.run([sys.executable, "-c", GREENLETS], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_what_is_shielded_changes_threads_only_where_an_interrupt_can_strike(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def shielded() -> None:
        where = executor.run_shielded(lambda: threading.current_thread(), PATIENCE)
        names.append("here" if where is threading.current_thread() else "elsewhere")

    def in_another_thread() -> None:
        other = threading.Thread(target=shielded)
        other.start()
        other.join(PATIENCE)

    shielded()
    monkeypatch.delitem(sys.modules, "ctypes", raising=False)
    in_another_thread()
    monkeypatch.setitem(sys.modules, "ctypes", ctypes)
    in_another_thread()
    assert names == ["elsewhere", "here", "elsewhere"]
