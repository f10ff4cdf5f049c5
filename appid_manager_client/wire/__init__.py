"""The wire contract as seen by a client: one call, its answer as data or a typed error, the service's clock.

When to try again, and what is owed to the service, is for the packages above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .models import Acquisition

__all__ = ["Acquisition"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Acquisition": "models",
    },
)
