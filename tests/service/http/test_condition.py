"""The looks at the database: who shares one, and what is said of one that doesn't end."""

from __future__ import annotations

import asyncio

import pytest

from appid_manager_client.server.http.condition import Condition
from appid_manager_client.server.operations import Unavailable


class Database:
    """Answers a look when it is told to, with what `error` holds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks = 0
        self.answers = asyncio.Event()
        self.error: Exception | None = None
        self.stopping = False
        self.condition = Condition(self.look, lambda: self.stopping, lambda: self.now)

    async def look(self) -> None:
        self.looks += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error

    def reason(self) -> str | None:
        fault = self.condition.fault()
        return None if fault is None else fault.reason


def test_callers_share_a_look_and_one_that_is_fresh_is_not_repeated() -> None:
    async def scenario() -> None:
        database = Database()
        assert await database.condition.fresh_fault() is None
        assert database.looks == 0, "the store has just been opened"
        database.now += 2
        asking = [asyncio.create_task(database.condition.fresh_fault()) for _ in range(5)]
        await asyncio.sleep(0)
        database.error = Unavailable("full", "no room")
        database.answers.set()
        assert {fault and fault.reason for fault in await asyncio.gather(*asking)} == {"full"}
        await database.condition.fresh_fault()
        assert database.looks == 1

    asyncio.run(scenario())


def test_a_look_that_does_not_end_is_a_fault() -> None:
    async def scenario() -> None:
        database = Database()
        database.now += 2
        looking = asyncio.create_task(database.condition.fresh_fault())
        await asyncio.sleep(0)
        assert database.reason() is None
        database.now += 6
        assert database.reason() == "away"
        database.answers.set()
        assert await looking is None

    asyncio.run(scenario())


def test_a_look_that_fails_in_an_unknown_way_is_a_fault_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        database = Database()
        database.now += 2
        database.error = RuntimeError("what is this")
        database.answers.set()
        assert getattr(await database.condition.fresh_fault(), "reason", None) == "away"

    asyncio.run(scenario())
    assert "what is this" in caplog.text


def test_a_service_that_stops_is_not_ready() -> None:
    async def scenario() -> None:
        database = Database()
        database.stopping = True
        assert database.reason() == "stopping"

    asyncio.run(scenario())
