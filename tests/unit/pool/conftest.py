"""Worlds on a simulated clock, with as much of the hour left as a test wants; clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from appid_manager_client import AppIdClient, LeasePool
from tests.support.poolworld import HOUR, MakeWorld, World
from tests.support.services import AnyService
from tests.unit.pool.threads import PRODUCT


@pytest.fixture
def world_at() -> Iterator[MakeWorld]:
    """Makes a world in which the hour turns in so many seconds."""
    with ExitStack() as stack:

        def make(to_the_turn: float, **options: Any) -> World:
            world = stack.enter_context(World(**options))
            world.time.now += (world.to_the_turn - to_the_turn) % HOUR
            return world

        yield make


@pytest.fixture
def world(world_at: MakeWorld) -> World:
    """A world in which the hour turns in 3000 seconds."""
    return world_at(3000)


@pytest.fixture
def service(any_service: AnyService) -> AnyService:
    any_service.init(PRODUCT, {f"a{number}": number for number in range(8)})
    return any_service


@pytest.fixture
def client(service: AnyService) -> Iterator[AppIdClient]:
    with AppIdClient(service.url, auth_token=service.auth_token, journal=False) as client:
        yield client


@pytest.fixture
def pool(client: AppIdClient) -> Iterator[LeasePool]:
    with client.pool(PRODUCT) as pool:
        yield pool


@pytest.fixture
def small_pool(client: AppIdClient) -> Iterator[LeasePool]:
    """Has one AppID at a time, so that others wait."""
    with client.pool(PRODUCT, max_size=1) as pool:
        yield pool
