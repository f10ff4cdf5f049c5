"""The default client of this process, made from the environment when it is first needed."""

from __future__ import annotations

import threading

from .client import AppIdClient
from .runtime import forks


class _Holder:
    """Keeps the client, and the lock under which it is made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.client: AppIdClient | None = None  # guarded by lock
        forks.register(self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Make the lock anew: another thread of the parent may have held it."""
        self.lock = threading.Lock()


_default = _Holder()


def get_default_client() -> AppIdClient:
    """The process's default client, made from the environment at the first call.

    Raises:
        ConfigurationError: a variable holds a value that can't be used.
    """
    with _default.lock:
        if _default.client is None:
            _default.client = AppIdClient()
        return _default.client


def set_default_client(client: AppIdClient | None) -> None:
    """Make `client` the default; with `None` the next use makes one from the environment."""
    if client is not None and not isinstance(client, AppIdClient):
        raise TypeError(f"client must be an AppIdClient or None, not {type(client).__name__}")
    with _default.lock:
        _default.client = client
