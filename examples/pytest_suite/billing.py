"""What the suite tests: an engine that meters seconds of speech for each AppID.

In a real project this is a remote service.
"""

from __future__ import annotations

from collections import defaultdict


class Engine:
    """Counts what was transcribed under each AppID."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def transcribe(self, appid: str, seconds: float) -> None:
        """Transcribe so many seconds of speech, and bill them to `appid`."""
        if seconds <= 0:
            raise ValueError(f"seconds must be more than 0, not {seconds:g}")
        self._seconds[appid] += seconds

    def billed(self, appid: str) -> float:
        """The seconds billed to `appid`."""
        return self._seconds[appid]
