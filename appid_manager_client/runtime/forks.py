"""What must be made anew in a forked child: locks that another thread of the parent may have held.

The only place of the package that hooks into `fork`. Objects register once; the registry holds
them weakly, and asks nothing of those that are gone.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something with state that must not live on in a forked child."""

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent. Runs in the child's only thread, before other code."""


_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def register(subject: ForkAware) -> None:
    """Have `subject.after_fork_in_child()` called in every child that this process forks."""
    _registered.add(subject)


def _reset_all() -> None:
    for subject in list(_registered):
        subject.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
