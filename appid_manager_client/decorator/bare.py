"""Was `@uses_appid` written above a function without its parentheses?

Then the function arrives where a product is expected, and a function may say the product, too.
"""

from __future__ import annotations

import functools
import inspect
from types import FrameType
from typing import Any

from .injection import INJECTED


def is_written_bare(product: Any, caller: FrameType | None) -> bool:
    """Return whether `product` is the function below a bare decorator in the frame `caller`.

    A frame of `None` (an interpreter without them) tells less.
    """
    if isinstance(product, (classmethod, staticmethod, property, functools.cached_property)):
        return True
    if not callable(product):
        return False
    return _says_no_product(product) or _is_being_defined(product, caller)


def _says_no_product(function: Any) -> bool:
    """Return whether it is a function that no product comes from, but work."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_of_kind(function) for is_of_kind in kinds):
        return True
    defaults = getattr(inspect.unwrap(function), "__kwdefaults__", None) or {}
    positional = getattr(inspect.unwrap(function), "__defaults__", None) or ()
    return any(default is INJECTED for default in (*defaults.values(), *positional))


def _is_being_defined(product: Any, caller: FrameType | None) -> bool:
    """Return whether `caller` is at the decorators of a function or a class: it has no name yet."""
    function = inspect.unwrap(product)
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>" or caller is None:
        return False
    if any(names.get(name) is product for names in (caller.f_locals, caller.f_globals)):
        return False
    if inspect.isclass(product):
        return bool(product.__module__ == caller.f_globals.get("__name__"))
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename != caller.f_code.co_filename:
        return False
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return bool(code.co_firstlineno <= caller.f_lineno <= max(lines))
