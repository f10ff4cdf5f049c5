"""What the waiters of the soak of the line note: every acquire that came to its end."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.models import LOOK, Grant


class Asked(NamedTuple):
    """One acquire that was answered. Times are milliseconds on the wall clock, as the service's.

    Attributes:
        wait: seconds for which the service was asked to hold it; `None`: a look.
        ticket: the place that it came with, or was given; `None`: none.
        start: when the AppID was granted; `None`: there was none.
        queued: whether a task of a queue asked.
    """

    began: int
    ended: int
    wait: float | None
    ticket: str | None
    start: int | None
    queued: bool


def note_acquires(directory: str, *, queued: bool) -> None:
    """Have every acquire of this process noted in a file of its own, also in forked children."""
    real = ServiceApi.acquire

    def noted(api: ServiceApi, product_name: str, **options: Any) -> Any:
        began = round(time.time() * 1000)
        outcome = real(api, product_name, **options)
        asking = options.get("asking", LOOK)
        if isinstance(outcome, Grant):
            ticket, start = asking.ticket, outcome.start_time
        else:
            ticket = asking.ticket if outcome.line is None else outcome.line.ticket
            start = None
        asked = Asked(began, round(time.time() * 1000), asking.wait, ticket, start, queued)
        path = os.path.join(directory, f"{os.getpid()}.notes")
        with open(path, "a", encoding="ascii") as notes:
            notes.write(f"{json.dumps(asked)}\n")
        return outcome

    ServiceApi.acquire = noted  # type: ignore[method-assign, assignment]


def read_waits(directory: Path) -> list[list[Asked]]:
    """The waits in line: the acquires of each ticket, in their order.

    A line that a kill cut short is left out.
    """
    waits: defaultdict[str, list[Asked]] = defaultdict(list)
    for path in directory.glob("*.notes"):
        for line in path.read_text(encoding="ascii").splitlines(keepends=True):
            if line.endswith("]\n"):
                asked = Asked(*json.loads(line))
                if asked.ticket is not None:
                    waits[asked.ticket].append(asked)
    return [sorted(wait) for wait in waits.values()]
