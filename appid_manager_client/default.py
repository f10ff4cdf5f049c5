"""The default client of this process, made from the environment when it is first needed."""

from __future__ import annotations

from .client import AppIdClient
from .runtime.forks import WithLock


class _Default(WithLock):
    """The default client, and the lock under which it is made."""

    def __init__(self) -> None:
        super().__init__()
        self._client: AppIdClient | None = None  # guarded by _lock

    def get(self) -> AppIdClient:
        with self._lock:
            if self._client is None:
                self._client = AppIdClient()
            return self._client

    def set(self, client: AppIdClient | None) -> None:
        with self._lock:
            self._client = client


_default = _Default()


def get_default_client() -> AppIdClient:
    """The process's default client, made from the environment at the first call.

    Raises:
        ConfigurationError: a variable holds a value that can't be used.
    """
    return _default.get()


def set_default_client(client: AppIdClient | None) -> None:
    """Make `client` the default; with `None` the next use makes one from the environment."""
    if client is not None and not isinstance(client, AppIdClient):
        raise TypeError(f"client must be an AppIdClient or None, not {type(client).__name__}")
    _default.set(client)
