"""Lazy imports for packages: a public name is imported from its module when it is first used.

The `__init__` of a package lists the module of each public name. To import one module of the
package then loads only what that module needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` for a package.

    Args:
        package: the `__name__` of the package.
        homes: for each public name, the module below the package that defines it.
    """
    names = vars(sys.modules[package])

    def get_attribute(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{home}")
        except AttributeError as error:
            # Such as a name that an old urllib3 lacks. Left as it is, `from ... import` would take
            # it for the answer that the package has no such name, and drop it.
            raise ImportError(
                f"{package}.{name} can't be imported: {error}", name=f"{package}.{home}"
            ) from error
        value = getattr(module, name)
        names[name] = value
        return value

    def list_names() -> list[str]:
        # Not what the __init__ imports for itself.
        return sorted({*homes, *(name for name in names if name.startswith("__"))})

    return get_attribute, list_names
