"""Settings of the service from variables, such as APPID_MANAGER_PORT for the option `--port`.

An option of the command line wins. An empty variable counts as unset. Which options there are
stands in `service_arguments.py`; whether a value can be used is checked in `server/settings.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from .exits import UsageError

_PREFIX = "APPID_MANAGER_"
_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def variable_of(option: str) -> str:
    """The variable that holds what `option` sets."""
    return _PREFIX + option.lstrip("-").replace("-", "_").upper()


class Setting:
    """One option whose value can come from a variable.

    Attributes:
        name: the setting's name in the parsed arguments.
        variable: the variable.
        default: what it is where neither is given.
    """

    def __init__(self, action: argparse.Action, default: Any) -> None:
        self._action = action
        self.name = action.dest
        self.variable = variable_of(action.option_strings[0])
        self.default = default

    def read(self, environ: Mapping[str, str]) -> Any:
        """The value of the variable, or `None` if it is unset or empty.

        Raises:
            UsageError: it can't be read as a value of this setting. The line names the variable.
        """
        text = environ.get(self.variable, "").strip()
        if not text:
            return None
        if self._action.nargs == 0:
            return self._switch(text)
        if isinstance(self._action.default, list):
            return [self._convert(part) for part in text.replace(",", " ").split()]
        return self._convert(text)

    def _switch(self, text: str) -> bool:
        if text.lower() not in _SWITCH:
            raise UsageError(f"{self.variable} must be 1 (yes) or 0 (no), not {text!r}")
        return _SWITCH[text.lower()]

    def _convert(self, text: str) -> Any:
        convert, choices = self._action.type, self._action.choices
        try:
            value = convert(text) if callable(convert) else text
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{self.variable} {error}") from None
        except (TypeError, ValueError):
            name = getattr(convert, "__name__", "value")
            raise UsageError(f"{self.variable} must be a {name}, not {text!r}") from None
        if choices is not None and value not in choices:
            raise UsageError(f"{self.variable} must be {' or '.join(choices)}, not {text!r}")
        return value


def fill_in(
    arguments: argparse.Namespace, settings: Sequence[Setting], environ: Mapping[str, str]
) -> None:
    """Give every setting that the command line left open its variable's value, or its default.

    `arguments.variables` then says which setting came from which variable.

    Raises:
        UsageError: a variable can't be used.
    """
    arguments.variables = {}
    for setting in settings:
        if getattr(arguments, setting.name) not in (None, []):
            continue
        value = setting.read(environ)
        if value is None:
            value = setting.default
        else:
            arguments.variables[setting.name] = setting.variable
        setattr(arguments, setting.name, value)
