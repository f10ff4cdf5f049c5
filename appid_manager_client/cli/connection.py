"""The client, or the service's calls without one, as global options and environment ask for it.

A command never goes to the built-in address: whoever named no service is told how to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from ..client import AppIdClient
from ..config import URL_VARIABLE, Settings
from ..errors import InvalidRequest
from ..events import EventHook
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from ..wire.clock import ServerClock
from ..wire.retry import LONGEST_CALL_BACKOFF, retry, unless_it_was_slow
from ..wire.transport import Transport
from .exits import UsageError
from .output import PROGRAM

T = TypeVar("T")


def open_client(arguments: argparse.Namespace, on_event: EventHook | None = None) -> AppIdClient:
    """A client, to be used as a context manager."""
    _settings(arguments)
    return AppIdClient(
        arguments.url, arguments.timeout, auth_token=arguments.token, on_event=on_event
    )


def open_api(arguments: argparse.Namespace) -> ServiceApi:
    """The calls of the service, for facts that a client doesn't show: its clock and extensions."""
    settings = _settings(arguments)
    system = SystemTime()
    return ServiceApi(Transport(settings, system), ServerClock(system))


def ask(call: Callable[[], T]) -> T:
    """Make a call that changes nothing; a failure that may pass is tried again, three times."""
    return retry(
        SystemTime(),
        lambda attempt: call(),
        longest=LONGEST_CALL_BACKOFF,
        may_retry=unless_it_was_slow,
    )


def require_extensions(api: ServiceApi, option: str, why: str) -> None:
    """Refuse an option that a field service can't serve, before anything else is sent to it."""
    ask(api.health)
    if not api.extended:
        raise UsageError(f"{option}: {api.base_url} is a field service, which {why}")


def ask_for_extensions(arguments: argparse.Namespace, lack: str) -> ServiceApi:
    """The calls of a service that has the extensions.

    Raises:
        InvalidRequest: it is a field service; `lack` says what it doesn't have.
    """
    api = open_api(arguments)
    ask(api.health)
    if not api.extended:
        raise InvalidRequest(f"{api.base_url} is a field service: {lack}", service=api.base_url)
    return api


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = Settings.resolve(arguments.url, arguments.timeout, arguments.token)
    if settings.default_url:
        raise UsageError(
            f"no service is named: pass --url, set {URL_VARIABLE}, or start one with "
            f"'{PROGRAM} serve' and use its URL"
        )
    return settings
