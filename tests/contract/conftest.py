"""A service of either kind with one AppID, and a client whose waits turn the service's clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appid_manager_client import AppIdClient
from tests.support.services import AnyService, turned_client


@pytest.fixture
def service(any_service: AnyService) -> AnyService:
    """The product `p` has the AppID `a`."""
    any_service.init("p", {"a": 1})
    return any_service


@pytest.fixture
def client(any_service: AnyService) -> Iterator[AppIdClient]:
    with turned_client(any_service) as made:
        yield made
