"""The client, or the service's calls without one, as global options and environment ask for it."""

from __future__ import annotations

import argparse

from ..client import AppIdClient
from ..config import Settings
from ..events import EventHook
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from ..wire.clock import ServerClock
from ..wire.transport import Transport


def open_client(arguments: argparse.Namespace, on_event: EventHook | None = None) -> AppIdClient:
    """A client, to be used as a context manager."""
    return AppIdClient(
        arguments.url, arguments.timeout, auth_token=arguments.token, on_event=on_event
    )


def open_api(arguments: argparse.Namespace) -> ServiceApi:
    """The calls of the service, for facts that a client doesn't show: its clock and extensions."""
    settings = Settings.resolve(arguments.url, arguments.timeout, arguments.token)
    system = SystemTime()
    return ServiceApi(Transport(settings, system), ServerClock(system))
