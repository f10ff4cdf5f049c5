"""What a pool decided to do now: the plan fills it in under its lock, others do it without."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..lease.claim import Claim
from .model import Slot
from .places import Wish
from .queue import Waiter


@dataclass(slots=True)
class Decision:
    """What is to be done now, without the lock.

    Attributes:
        notify: waiters that have a lease or an error now.
        release: slots to release to the service.
        give_up: claims of unanswered acquires that nobody needs any more.
        acquire: acquires to send. Each is the claim of an unanswered acquire to send again, or
            `None` for a new one.
        stand: wishes that ask for their place in line, are held there, or look.
        learn_hours: whether to ask for the service's time and hours.
        read_clock: whether to ask for the service's time alone.
        pause: seconds until the next decision is due, or `None` if none is scheduled.
    """

    notify: list[Waiter] = field(default_factory=list)
    release: list[Slot] = field(default_factory=list)
    give_up: list[Claim] = field(default_factory=list)
    acquire: list[Claim | None] = field(default_factory=list)
    stand: list[Wish] = field(default_factory=list)
    learn_hours: bool = False
    read_clock: bool = False
    pause: float | None = None
