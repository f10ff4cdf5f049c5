"""The rule by which task queues and test runs keep a journal, and the sweep that reads it.

A process that was killed runs no `finally`, but its leases stand in the journal of its host. The
rule: the client that an integration uses by default keeps a journal, unless the environment
(`APPID_MANAGER_JOURNAL`) or the program has decided about it. When to sweep is left to others.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Iterable

from appid_manager_client import (
    AppIdClient,
    AppIdManagerError,
    ConfigurationError,
    get_default_client,
)
from appid_manager_client.config import JOURNAL_VARIABLE
from appid_manager_client.journal.journal import default_directory
from appid_manager_client.text import get_logger

logger = get_logger()

_warned: weakref.WeakSet[AppIdClient] = weakref.WeakSet()  # each client is warned about once


def keep_journal(client: AppIdClient) -> None:
    """Turn the client's journal on, unless it has one or `APPID_MANAGER_JOURNAL` decides.

    A journal that can't be written is a warning here, not an error: nobody asked for it.
    """
    if client.journal is not None or os.environ.get(JOURNAL_VARIABLE) or client in _warned:
        return
    try:
        client.use_journal()
    except ConfigurationError as error:
        _warned.add(client)
        logger.warning(
            "no journal is kept, so the leases of a killed process are not released at once: %s",
            error,
        )


def journaled_default_client() -> AppIdClient:
    """The default client. It keeps a journal, by the rule of this module.

    Raises:
        ConfigurationError: the environment has a setting that can't be used.
    """
    client = get_default_client()
    keep_journal(client)
    return client


def default_clients(log: logging.Logger) -> list[AppIdClient]:
    """The default client in a list. The list is empty, and `log` says why, if it can't be made."""
    try:
        return [journaled_default_client()]
    except ConfigurationError as error:
        log.warning("no default client, so leases of killed processes are not released: %s", error)
        return []


def warn_without_journal(client: AppIdClient, user: str) -> None:
    """Log, once for each client, that a client which the program made keeps no journal."""
    if client.journal is None and client not in _warned:
        _warned.add(client)
        logger.warning(
            "%s uses a client of %s that keeps no journal: only the service's ttl, if it has one, "
            "ends the leases of a killed worker; pass journal=True to AppIdClient",
            user,
            client.base_url,
        )


def export_journal(clients: Iterable[AppIdClient]) -> None:
    """Name the default client's journal in the environment, for child processes that start anew.

    For children in which none of our hooks run. Does nothing if the default client is not one of
    `clients`, keeps no journal, or has its journal from the environment.
    """
    for client in clients:
        if client.journal is not None and client is get_default_client():
            os.environ.setdefault(JOURNAL_VARIABLE, str(client.journal))


def journal_may_exist() -> bool:
    """Whether a process of this user may have kept a journal by the rule of this module."""
    try:
        return bool(os.environ.get(JOURNAL_VARIABLE)) or default_directory().is_dir()
    except (ConfigurationError, OSError):
        return False


def sweep(clients: Iterable[AppIdClient]) -> None:
    """Release what dead processes of this host held at the clients' services. Never raises.

    Only leases whose lock is free are touched, so a sweep that comes too early, or twice, does no
    harm.
    """
    for client in clients:
        if client.journal is None:
            continue
        try:
            client.reap()
        except AppIdManagerError as error:
            logger.warning("could not release yet what a dead process held: %s", error)
        except Exception:
            logger.exception("sweeping the journal of %s failed", client.base_url)
