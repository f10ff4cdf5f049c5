"""`@uses_appid`: a lease around every call of a function."""

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
