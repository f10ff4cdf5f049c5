"""AppIDs for Python code: leased from the central service, never shared, never lost.

from appid_manager_client import AppIdClient

client = AppIdClient("http://localhost:5000")
with client.lease("stt_billing") as lease:
    print(lease.appid, lease.vid)

What a name stands for is imported when it is first used: installing the package costs nothing in
programs that don't use it (pytest imports it at every start, for its plugin).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazily
from ._version import __version__

if TYPE_CHECKING:
    from .client import AppIdClient
    from .decorator.decorator import uses_appid
    from .decorator.injection import INJECTED
    from .default import get_default_client, set_default_client
    from .errors import (
        AppIdConflict,
        AppIdManagerError,
        AppIdNotFound,
        AuthenticationError,
        ClientClosed,
        Closed,
        ConfigurationError,
        InvalidRequest,
        LeaseInUse,
        LeaseLost,
        LeaseNotHeld,
        NoAppIdAvailable,
        NoAppIdInTime,
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
    from .journal.reaping import Reaped
    from .lease.claim import PendingRelease
    from .lease.held import Lease
    from .pool.lease import PooledLease
    from .pool.model import PoolStats
    from .pool.pool import LeasePool
    from .runtime.signals import release_on_termination
    from .wire.models import Acquisition

__all__ = [
    "Acquisition",
    "AppIdClient",
    "AppIdConflict",
    "AppIdManagerError",
    "AppIdNotFound",
    "AuthenticationError",
    "ClientClosed",
    "Closed",
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
    "NoAppIdInTime",
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

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Acquisition": "wire.models",
        "AppIdClient": "client",
        "AppIdConflict": "errors",
        "AppIdManagerError": "errors",
        "AppIdNotFound": "errors",
        "AuthenticationError": "errors",
        "ClientClosed": "errors",
        "Closed": "errors",
        "ConfigurationError": "errors",
        "Event": "events",
        "EventHook": "events",
        "EventKind": "events",
        "INJECTED": "decorator.injection",
        "InvalidRequest": "errors",
        "Lease": "lease.held",
        "LeaseInUse": "errors",
        "LeaseLost": "errors",
        "LeaseNotHeld": "errors",
        "LeasePool": "pool.pool",
        "NoAppIdAvailable": "errors",
        "NoAppIdInTime": "errors",
        "PendingRelease": "lease.claim",
        "PoolClosed": "errors",
        "PoolStats": "pool.model",
        "PoolTimeout": "errors",
        "PooledLease": "pool.lease",
        "ProductMismatch": "errors",
        "ProductNotFound": "errors",
        "ProtocolError": "errors",
        "Reaped": "journal.reaping",
        "RequestTimeout": "errors",
        "ServiceUnavailable": "errors",
        "TransportError": "errors",
        "get_default_client": "default",
        "release_on_termination": "runtime.signals",
        "set_default_client": "default",
        "uses_appid": "decorator.decorator",
    },
)
