"""The wire contract as a client sees it: the calls, answers as data or typed errors, and the clock.

When an acquire is tried again, and what is still owed to the service, is for `lease/`.
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
