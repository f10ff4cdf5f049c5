"""What objects do when the process forks: make their locks and threads anew in the child.

The only module of the package that hooks into `fork`. What an object does is in its
`_after_fork_in_child`; most only have a lock (`WithLock`). The registry holds them weakly.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol


class ForkGuard(Protocol):
    """Something that other threads must not change while the process forks."""

    def before_fork(self) -> None:
        """Block changes until the process has forked. Runs in the thread that forks."""

    def after_fork_in_parent(self) -> None:
        """Allow changes again."""

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent. Runs in the child's only thread."""


class WithLock:
    """A base of objects with a lock, `_lock`, which is made anew in a forked child.

    Another thread of the parent may have held it, and none of the child would release it. It is
    a plain lock and not one of a class of ours: a signal's exception could come between taking
    such a lock and entering its `with` block.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        register(self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Make the lock anew. A class that has more to forget extends this."""
        self._lock = threading.Lock()


_registered: weakref.WeakKeyDictionary[object, Callable[[Any], None]]
_registered = weakref.WeakKeyDictionary()
_guards: list[ForkGuard] = []


def register(forget: Callable[[], None]) -> None:
    """Have a bound method called in every child that this process forks.

    It makes its object forget what belongs to the parent. It runs in the child's only thread,
    before other code, for as long as its object lives: the registry doesn't keep it.
    """
    assert isinstance(forget, MethodType)
    _registered[forget.__self__] = forget.__func__


def register_guard(guard: ForkGuard) -> None:
    """Have `guard` called around every fork. Kept for ever: for objects of a module."""
    _guards.append(guard)


def _before_fork() -> None:
    for guard in _guards:
        guard.before_fork()


def _after_fork_in_parent() -> None:
    for guard in _guards:
        guard.after_fork_in_parent()


def _after_fork_in_child() -> None:
    # Guards first: what they close must not stay open while others work.
    for guard in _guards:
        guard.after_fork_in_child()
    for subject, forget in list(_registered.items()):
        forget(subject)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
