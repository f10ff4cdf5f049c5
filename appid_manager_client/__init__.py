"""AppIDs for Python code: leased from the central service, never shared, never lost.

from appid_manager_client import AppIdClient

client = AppIdClient("http://localhost:5000")
with client.lease("stt_billing") as lease:
    print(lease.appid, lease.vid)
"""

import logging

from ._version import __version__
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
    "NoAppIdAvailable",
    "PendingRelease",
    "PoolClosed",
    "PoolTimeout",
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
