"""A service of our own that speaks the wire contract, durable in SQL. Needs the extra `server`.

`serve(ServiceSettings(...))` runs it in this process; `appid_manager_client.testing.LocalService` runs it in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .settings import ServiceSettings

if TYPE_CHECKING:
    from .run import serve

__all__ = ["ServiceSettings", "serve"]

# What the extra `server` brings and the service can't do without.
_NEEDED = ("pydantic", "sqlalchemy", "starlette", "uvicorn")


def require_extra() -> None:
    """Raise a `ConfigurationError` that names what to install when the extra `server` is missing."""
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the service needs {', '.join(missing)}, not installed here: "
            'pip install "appid-manager-client[server]"'
        )


def __getattr__(name: str) -> Any:
    # Lazy, so that settings and this message are there without the extra.
    if name == "serve":
        require_extra()
        from .run import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
