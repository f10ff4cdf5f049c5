"""Worlds in turned time, each with as much of its hour left as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.poolworld import World


@pytest.fixture
def world_at() -> Iterator[Callable[..., World]]:
    """Makes a world in which the hour turns in so many seconds."""
    with ExitStack() as stack:

        def make(to_the_turn: float, **options: Any) -> World:
            world = stack.enter_context(World(**options))
            world.time.now += (world.to_the_turn - to_the_turn) % 3600
            return world

        yield make


@pytest.fixture
def world(world_at: Callable[..., World]) -> World:
    """A world in which the hour turns in a thousand seconds."""
    return world_at(1000)
