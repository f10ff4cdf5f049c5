"""Both kinds of service by one name, and a patient client of either with its token."""

from __future__ import annotations

from typing import Any

from appid_manager_client import AppIdClient
from tests.support.field import FieldService
from tests.support.machine import HastyTime, TurnedSystem
from tests.support.ours import OurService

AnyService = FieldService | OurService


def client_of(service: AnyService, **options: Any) -> AppIdClient:
    """A client of `service`; `options` are the client's own."""
    options.setdefault("auth_token", service.auth_token)
    return AppIdClient(service.url, 20, **options)


def turned_client(service: AnyService, **options: Any) -> AppIdClient:
    """A client whose pauses take no time of ours, and as much of the service's as they say."""
    options.setdefault("system", TurnedSystem(followers=(service.advance,)))
    return client_of(service, **options)


def hasty_client(service: AnyService, **options: Any) -> AppIdClient:
    """A client with the shortest backoffs."""
    return client_of(service, **{"system": HastyTime(), **options})


def use_up(client: AppIdClient, product: str = "p") -> None:
    """Use one AppID of a product for this hour."""
    client.release_appid(client.acquire_appid(product).appid, product)
