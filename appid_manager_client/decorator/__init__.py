"""`@uses_appid`: every call of the decorated function holds a lease.

Owns the decorator, the parameter that it fills, and the signature that others see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .decorator import uses_appid
    from .injection import INJECTED

__all__ = ["INJECTED", "uses_appid"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "INJECTED": "injection",
        "uses_appid": "decorator",
    },
)
