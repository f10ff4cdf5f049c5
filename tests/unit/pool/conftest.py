"""Worlds in turned time, each with as much of its hour left as a test wants; and clients of real services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from appid_manager_client import AppIdClient
from tests.support.poolworld import World
from tests.unit.pool.threads import PRODUCT, Service


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


@pytest.fixture
def service(any_service: Service) -> Service:
    any_service.init(PRODUCT, {f"a{number}": number for number in range(8)})
    return any_service


@pytest.fixture
def client(service: Service) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token, journal=False) as client:
        yield client
