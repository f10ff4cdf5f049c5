"""What the tasks of both queues do in the tests: say what they hold, and end as the test says.

Loaded in real workers, which are configured from the environment as in production.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import redis
from appid_manager_client.integrations import _options

from appid_manager_client import AppIdClient, Lease
from tests.integrations.queues.conversation import announce, await_word

_options.PATIENCE = 0.5  # the hours of the tests are shorter than the usual patience
connection = redis.Redis.from_url(os.environ["WORDS"], socket_timeout=None)

# For tasks that wait: clients of the services with short hours, and with hours for a line.
short = AppIdClient(os.environ["SHORT_HOURS"], journal=True)
in_line = AppIdClient(os.environ["LINE_HOURS"], journal=True)
wrong_token = AppIdClient(os.environ["GUARDED"], auth_token="wrong")


def product_of(token: str, *args: Any, **kwargs: Any) -> str:
    """Each test has a product of its own, which its token names."""
    return token.partition(":")[0]


def announce_lease(token: str, lease: Lease, **facts: Any) -> None:
    """Tell the test that the body runs, and what it holds."""
    announce(connection, token, appid=lease.appid, start=lease.start_time, **facts)


def obey(token: str, lease: Lease, **facts: Any) -> str:
    """Announce the lease, and do what the test says. Returns a word that only the queue knows."""
    announce_lease(token, lease, **facts)
    word = await_word(connection, token) or "return"
    match word:
        case "raise":
            raise LookupError("as the test said")
        case "exit":
            sys.exit(3)
        case "_exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
    return word
