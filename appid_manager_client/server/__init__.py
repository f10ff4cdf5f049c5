"""A service that speaks the wire contract and keeps its state in SQL. Needs the extra `server`.

`serve(ServiceSettings(...))` runs it in this process; `appid_manager_client.testing.LocalService`
runs it in a thread. `http` turns requests into operations and outcomes into answers; `store`
carries operations out; `operations` is what the two exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .settings import ServiceSettings

if TYPE_CHECKING:
    from .run import serve

__all__ = ["ServiceSettings", "serve"]

# The packages of the extra `server` without which the service can't run.
_NEEDED = ("pydantic", "sqlalchemy", "starlette", "uvicorn")


def require_extra() -> None:
    """Raise a `ConfigurationError` that names what to install if the extra `server` is missing."""
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the service needs {', '.join(missing)}, not installed here: "
            'pip install "appid-manager-client[server]"'
        )


def __getattr__(name: str) -> Any:
    # Lazy: the settings, and the message above, work without the extra.
    if name == "serve":
        require_extra()
        from .run import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
