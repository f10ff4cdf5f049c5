"""How a test and the body of a task in another process talk: through the broker.

A body announces that it runs and what it holds, then waits for the test's word. Nothing sleeps.
"""

from __future__ import annotations

import json
import os
from typing import Any

import redis

from tests.support.waiting import PATIENCE

WAIT = 60
"""Seconds after which a body that the test forgot ends by itself."""


def _started_key(token: str) -> str:
    return f"test:{token}:started"


def _word_key(token: str) -> str:
    return f"test:{token}:word"


def announce(connection: redis.Redis, token: str, **facts: Any) -> None:
    """In the body of a task: say that it runs, in which process, and what it holds."""
    connection.rpush(_started_key(token), json.dumps({"pid": os.getpid(), **facts}))


def await_word(connection: redis.Redis, token: str) -> str | None:
    """In the body of a task: the test's word."""
    answer = connection.blpop([_word_key(token)], timeout=WAIT)
    return None if answer is None else _text(answer[1])


class Conversation:
    """The test's side: one token for each scene, so that nothing gets mixed up."""

    def __init__(self, connection: redis.Redis, token: str) -> None:
        self._redis = connection
        self.token = token

    def started(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for a body's announcement. Returns it."""
        answer = self._redis.blpop([_started_key(self.token)], timeout=timeout)
        assert answer is not None, f"no body of {self.token} has started within {timeout:g} s"
        facts: dict[str, Any] = json.loads(answer[1])
        return facts

    def say(self, word: str, times: int = 1) -> None:
        self._redis.rpush(_word_key(self.token), *[word] * times)

    @property
    def starts_left(self) -> int:
        """How many announcements nobody has read yet."""
        return self._redis.llen(_started_key(self.token))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
