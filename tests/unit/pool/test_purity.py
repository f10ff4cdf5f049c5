"""The pool's plan is pure: who imports it loads no HTTP and nothing that does a lease's I/O."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import appid_manager_client.pool.plan
print(*sorted(sys.modules))
"""

IO = {
    "requests",
    "urllib3",
    "appid_manager_client.client",
    "appid_manager_client.lease.acquirer",
    "appid_manager_client.lease.keeper",
    "appid_manager_client.pool.calls",
    "appid_manager_client.pool.lender",
    "appid_manager_client.runtime.executor",
    "appid_manager_client.runtime.worker",
    "appid_manager_client.wire.api",
    "appid_manager_client.wire.transport",
}


def test_importing_the_plan_loads_neither_requests_nor_the_io_of_leases() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "appid_manager_client.pool.slots" in loaded
    assert not loaded & IO
