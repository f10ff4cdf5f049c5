"""The command `appid-manager`: leases of AppIDs for shells, and the service.

`program.py` has the way from arguments to an exit code, `arguments.py` what can be asked for, and a
module of its own each larger command. The client and the service do the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .program import main

__all__ = ["main"]

__getattr__, __dir__ = lazily(__name__, {"main": "program"})
