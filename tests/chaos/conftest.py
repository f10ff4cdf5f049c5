"""Services whose product `p` has ten AppIDs: a1, a2, ..."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.services import AnyService

APPIDS = {f"a{number}": number for number in range(1, 11)}


@pytest.fixture
def service(any_service: AnyService) -> AnyService:
    """Both kinds of service in turn."""
    any_service.init("p", APPIDS)
    return any_service


@pytest.fixture
def field(field_service: FieldService) -> FieldService:
    field_service.init("p", APPIDS)
    return field_service


@pytest.fixture
def ours() -> Iterator[OurService]:
    with OurService() as running:
        running.init("p", APPIDS)
        yield running
