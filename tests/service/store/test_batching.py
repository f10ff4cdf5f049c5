"""Group commit: what waits together goes together, and each caller hears its own outcome."""

import asyncio
import threading

import pytest

from appid_manager_client.server.operations import Sweep, Swept, Unavailable
from appid_manager_client.server.store.batching import Batcher, Void


class Recorder:
    """A store that notes its batches; an operation that prunes fails."""

    def __init__(self):
        self.batches = []

    def execute(self, operations):
        self.batches.append(list(operations))
        return [
            RuntimeError("no") if operation.prune else Swept(len(self.batches))
            for operation in operations
        ]


class Broken:
    def execute(self, operations):
        raise MemoryError("all of it")


@pytest.mark.parametrize(("count", "sizes"), [(10, [10]), (600, [256, 256, 88])])
def test_what_waits_at_the_same_time_is_one_batch_up_to_a_bound(count, sizes):
    async def scenario():
        store = Recorder()
        batcher = Batcher(store)
        await asyncio.gather(*(batcher.submit(Sweep()) for _ in range(count)))
        await batcher.close()
        return store.batches

    assert [len(batch) for batch in asyncio.run(scenario())] == sizes


def test_one_that_asks_alone_is_served_every_time():
    async def scenario():
        store = Recorder()
        batcher = Batcher(store)
        for _ in range(20):
            await batcher.submit(Sweep())
        await batcher.close()
        return store.batches

    assert [len(batch) for batch in asyncio.run(scenario())] == [1] * 20


def test_what_is_void_when_its_turn_comes_is_left_out():
    async def scenario():
        store = Recorder()
        batcher = Batcher(store)
        outcomes = await asyncio.gather(
            batcher.submit(Sweep(), lambda: False),
            batcher.submit(Sweep(), lambda: True),
            batcher.submit(Sweep()),
            return_exceptions=True,
        )
        with pytest.raises(Void):
            await batcher.submit(Sweep(), lambda: True)
        await batcher.close()
        return store.batches, outcomes

    batches, outcomes = asyncio.run(scenario())
    assert [len(batch) for batch in batches] == [2]
    assert [type(outcome) for outcome in outcomes] == [Swept, Void, Swept]


def test_a_failure_reaches_its_own_caller_alone():
    async def scenario():
        batcher = Batcher(Recorder())
        outcomes = await asyncio.gather(
            batcher.submit(Sweep()),
            batcher.submit(Sweep(prune=True)),
            batcher.submit(Sweep()),
            return_exceptions=True,
        )
        await batcher.close()
        return outcomes

    first, second, third = asyncio.run(scenario())
    assert isinstance(first, Swept)
    assert isinstance(second, RuntimeError)
    assert isinstance(third, Swept)


def test_a_store_that_fails_altogether_is_heard_and_survived():
    async def scenario():
        batcher = Batcher(Broken())
        for _ in range(2):
            with pytest.raises(MemoryError):
                await batcher.submit(Sweep())
        await batcher.close()

    asyncio.run(scenario())


class Locked:
    """A store that fails its first batch, in which others come."""

    def __init__(self):
        self.batches = 0
        self.entered, self.go_on = threading.Event(), threading.Event()

    def execute(self, operations):
        self.batches += 1
        if self.batches > 1:
            return [Swept(1) for _ in operations]
        self.entered.set()
        assert self.go_on.wait(30)
        return [Unavailable("locked", "locked")] * len(operations)


def test_nobody_waits_for_the_same_lock_twice():
    async def scenario():
        store = Locked()
        batcher = Batcher(store)
        first = asyncio.create_task(batcher.submit(Sweep()))
        await asyncio.to_thread(store.entered.wait, 30)
        others = [asyncio.create_task(batcher.submit(Sweep())) for _ in range(300)]
        await asyncio.sleep(0)
        store.go_on.set()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
        assert {outcome.reason for outcome in outcomes} == {"locked"}
        assert isinstance(await batcher.submit(Sweep()), Swept)
        await batcher.close()
        assert store.batches == 2

    asyncio.run(scenario())


def test_what_comes_after_the_end_is_refused():
    async def scenario():
        batcher = Batcher(Recorder())
        await batcher.close()
        with pytest.raises(Unavailable, match="stopping"):
            await batcher.submit(Sweep())

    asyncio.run(scenario())


def test_a_caller_that_goes_doesn_t_keep_the_others_from_their_answers():
    async def scenario():
        batcher = Batcher(Recorder())
        going = asyncio.create_task(batcher.submit(Sweep()))
        staying = asyncio.create_task(batcher.submit(Sweep()))
        await asyncio.sleep(0)
        going.cancel()
        outcome = await staying
        await batcher.close()
        return outcome

    assert isinstance(asyncio.run(scenario()), Swept)
