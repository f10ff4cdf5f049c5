"""The service's log: its one logger, and the words for a failure.

Nothing that a caller sent is logged, but for the name of a product: no body, no token, no value of
a statement.
"""

from __future__ import annotations

from ..text import get_logger

logger = get_logger("appid_manager_client.server")


def describe_failure(error: Exception) -> str:
    """The type of an error and the database's own message, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {original}"
