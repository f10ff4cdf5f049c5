"""How a service opens its database at the start: it waits if told so, and never silently.

What keeps it from opening is a `ConfigurationError` of the store.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

from .log import log_event
from .settings import ServiceSettings, describe_database
from .store.engines import is_there

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
SLOW_AFTER = 2.0
"""Seconds after which the log says that the database still isn't open."""


def wait_for_database(
    settings: ServiceSettings,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Return when the database's server takes connections, or `wait_for_database` has passed.

    What is wrong otherwise, such as a password, shows when the database is opened.

    Raises:
        ConfigurationError: an extra is missing, or the URL is wrong.
    """
    seconds = settings.wait_for_database
    if not seconds or is_there(settings.database):
        return
    name = describe_database(settings.database)
    log_event(
        logging.WARNING,
        "waiting_for_database",
        "%(database)s takes no connections yet: waiting for it, up to %(seconds)g s",
        database=name,
        seconds=seconds,
    )
    began = monotonic()
    pause = _FIRST_PAUSE
    while (left := began + seconds - monotonic()) > 0:
        # Replicas that start together don't ask together.
        sleep(min(left, pause * random.uniform(0.5, 1.0)))
        pause = min(2 * pause, _LONGEST_PAUSE)
        if is_there(settings.database):
            log_event(
                logging.INFO,
                "database_there",
                "%(database)s takes connections after %(seconds).1f s",
                database=name,
                seconds=monotonic() - began,
            )
            return


@contextlib.contextmanager
def never_silently(settings: ServiceSettings) -> Iterator[None]:
    """Log that the database isn't open yet, if the block takes long."""

    def say() -> None:
        log_event(
            logging.WARNING,
            "slow_start",
            "%(database)s is not open yet: somebody may keep it locked, or its tables are being "
            "changed; locks are waited for up to 30 s",
            database=describe_database(settings.database),
        )

    timer = threading.Timer(SLOW_AFTER, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
