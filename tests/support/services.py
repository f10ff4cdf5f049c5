"""Both kinds of service by one name, and a patient client of either with its token."""

from __future__ import annotations

from typing import Any

from appid_manager_client import AppIdClient
from tests.support.field import FieldService
from tests.support.ours import OurService

AnyService = FieldService | OurService


def client_of(service: AnyService, **options: Any) -> AppIdClient:
    """A client of `service`; `options` are the client's own."""
    options.setdefault("auth_token", service.auth_token)
    return AppIdClient(service.url, 20, **options)
