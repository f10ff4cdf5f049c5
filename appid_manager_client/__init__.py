"""AppIDs for Python code: leased from the central service, never shared, never lost.

from appid_manager_client import AppIdClient

client = AppIdClient("http://localhost:5000")
with client.lease("stt_billing") as lease:
    print(lease.appid, lease.vid)

What a name stands for is imported when it is first used: who only has this package installed, as the users of its
pytest plugin do, pays nothing for it.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .claims import PendingRelease
    from .client import AppIdClient, get_default_client, set_default_client
    from .decorator import INJECTED, uses_appid
    from .errors import (
        AppIdConflict,
        AppIdManagerError,
        AppIdNotFound,
        AuthenticationError,
        ClientClosed,
        ConfigurationError,
        InvalidRequest,
        LeaseInUse,
        LeaseLost,
        LeaseNotHeld,
        NoAppIdAvailable,
        PoolClosed,
        PoolTimeout,
        ProductMismatch,
        ProductNotFound,
        ProtocolError,
        RequestTimeout,
        ServiceUnavailable,
        TransportError,
    )
    from .events import Event, EventHook, EventKind
    from .lease import Lease
    from .models import Acquisition
    from .pool import LeasePool
    from .pool_lease import PooledLease
    from .pool_model import PoolStats
    from .reaping import Reaped
    from .termination import release_on_termination

logging.getLogger("appid_manager_client").addHandler(logging.NullHandler())

__all__ = [
    "Acquisition",
    "AppIdClient",
    "AppIdConflict",
    "AppIdManagerError",
    "AppIdNotFound",
    "AuthenticationError",
    "ClientClosed",
    "ConfigurationError",
    "Event",
    "EventHook",
    "EventKind",
    "INJECTED",
    "InvalidRequest",
    "Lease",
    "LeaseInUse",
    "LeaseLost",
    "LeaseNotHeld",
    "LeasePool",
    "NoAppIdAvailable",
    "PendingRelease",
    "PoolClosed",
    "PoolStats",
    "PoolTimeout",
    "PooledLease",
    "ProductMismatch",
    "ProductNotFound",
    "ProtocolError",
    "Reaped",
    "RequestTimeout",
    "ServiceUnavailable",
    "TransportError",
    "__version__",
    "get_default_client",
    "release_on_termination",
    "set_default_client",
    "uses_appid",
]

_HOMES = {
    "PendingRelease": "claims",
    "AppIdClient": "client",
    "get_default_client": "client",
    "set_default_client": "client",
    "INJECTED": "decorator",
    "uses_appid": "decorator",
    "AppIdConflict": "errors",
    "AppIdManagerError": "errors",
    "AppIdNotFound": "errors",
    "AuthenticationError": "errors",
    "ClientClosed": "errors",
    "ConfigurationError": "errors",
    "InvalidRequest": "errors",
    "LeaseInUse": "errors",
    "LeaseLost": "errors",
    "LeaseNotHeld": "errors",
    "NoAppIdAvailable": "errors",
    "PoolClosed": "errors",
    "PoolTimeout": "errors",
    "ProductMismatch": "errors",
    "ProductNotFound": "errors",
    "ProtocolError": "errors",
    "RequestTimeout": "errors",
    "ServiceUnavailable": "errors",
    "TransportError": "errors",
    "Event": "events",
    "EventHook": "events",
    "EventKind": "events",
    "Lease": "lease",
    "Acquisition": "models",
    "LeasePool": "pool",
    "PooledLease": "pool_lease",
    "PoolStats": "pool_model",
    "Reaped": "reaping",
    "release_on_termination": "termination",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # Not what this module itself imports; that is nobody else's.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
