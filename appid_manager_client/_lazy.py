"""Handing names on lazily: what a name stands for is imported when it is first used.

A package's `__init__` lists where its public names live. Importing one of its modules then loads
only what that module needs, and the pure modules stay pure to import.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package.

    Args:
        package: the package's `__name__`.
        homes: for each public name, the module below the package that defines it.
    """
    names = vars(sys.modules[package])

    def get_attribute(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home}"), name)
        names[name] = value
        return value

    def list_names() -> list[str]:
        # Without what the __init__ itself imports.
        return sorted({*homes, *(name for name in names if name.startswith("__"))})

    return get_attribute, list_names
