"""The service as a process of its own, to be stopped and killed."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = """
import sys
from appid_manager_client.server import ServiceSettings, serve
settings = ServiceSettings(
    port=int(sys.argv[1]), database=sys.argv[2], auth_token=sys.argv[3] or None
)
serve(settings, on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""
START_WITHIN = 60.0


class ServiceProcess:
    """`url` once it is ready; `process` to signal it. `database` is a file, or a URL."""

    def __init__(self, database: Path | str, port: int = 0, token: str = "") -> None:
        where = f"sqlite:///{database}" if isinstance(database, Path) else database
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(port), where, token],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines: queue.Queue[str] = queue.Queue()
        out = self.process.stdout
        assert out is not None
        threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
        try:
            self.url = lines.get(timeout=START_WITHIN).strip()
            assert self.url, f"the service did not start: {self.process.communicate()[1]}"
        except BaseException:
            self.end()
            raise

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def end(self) -> None:
        """Kill it, if it still lives."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def service_process(
    database: Path | str, port: int = 0, token: str = ""
) -> Iterator[ServiceProcess]:
    """A `ServiceProcess` that is gone afterwards."""
    running = ServiceProcess(database, port, token)
    try:
        yield running
    finally:
        running.end()
