"""A web application under uvicorn, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from .waiting import PATIENCE, wait_until


@contextmanager
def under_uvicorn(app: Any) -> Iterator[str]:
    """The URL at which `app` is served within the block."""
    # Its own configuration would keep the loggers of the whole process from other tests.
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, what="the application is up")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()
