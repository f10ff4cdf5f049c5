"""What coroutines may rely on: the event loop of asyncio, and no other library's."""

from __future__ import annotations

import asyncio

from ..errors import ConfigurationError


def require_asyncio() -> None:
    """Refuse to work for coroutines of another library, before anything is sent.

    Raises:
        ConfigurationError: no loop of asyncio runs here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "'async with' and the methods that end in _async work with asyncio only: under another "
            "library (trio, curio) use 'with' in a thread, as trio.to_thread.run_sync starts one"
        ) from None
