"""The three programs of the documented API, run as printed against both kinds of service.

Changed in them are only the URL (from the environment where the program names none), the
`import time` that the third one forgot, and its ten seconds of work.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support.services import AnyService

QUICK_START = """
from appid_manager_client import AppIdClient

# Create client
client = AppIdClient("http://localhost:5000")

# Initialize product AppIDs
client.init_product("stt_billing", {
    "appid1": "vid1",
    "appid2": "vid2"
})

# Acquire AppID
appid, vid, start_time, product_name = client.acquire_appid("stt_billing")

# Use AppID for your business logic
print(f"Using AppID: {appid}, VID: {vid}")

# Release AppID when done
client.release_appid(appid, "stt_billing")
"""

BASIC_USAGE = """
from appid_manager_client import AppIdClient

client = AppIdClient()

# Health check
if not client.health_check():
    print("Service unavailable")
    exit(1)

# Initialize product
client.init_product("my_product", {
    "appid_001": "vid_001",
    "appid_002": "vid_002"
})

# Acquire and use AppID
try:
    appid, vid, start_time, product = client.acquire_appid("my_product")
    print(f"Acquired: {appid} (VID: {vid})")
    
    # Your business logic here
    
finally:
    client.release_appid(appid, "my_product")
"""  # noqa: W293

CONCURRENT_USAGE = """
import threading
from appid_manager_client import AppIdClient

def worker(client, product_name, worker_id):
    try:
        appid, vid, start_time, product = client.acquire_appid(product_name)
        print(f"Worker {worker_id}: Got {appid}")
        
        # Simulate work
        time.sleep(10)
        
        client.release_appid(appid, product_name)
        print(f"Worker {worker_id}: Released {appid}")
        
    except Exception as e:
        print(f"Worker {worker_id}: Error - {e}")

# Create multiple workers
client = AppIdClient()
threads = []

for i in range(5):
    thread = threading.Thread(target=worker, args=(client, "stt_billing", i))
    threads.append(thread)
    thread.start()

# Wait for all workers
for thread in threads:
    thread.join()
"""  # noqa: W293


def run(program: str, service: AnyService) -> list[str]:
    environment = {
        **os.environ,
        "APPID_MANAGER_URL": service.url,
        "APPID_MANAGER_TOKEN": service.auth_token or "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_quick_start(any_service: AnyService) -> None:
    told = run(QUICK_START.replace("http://localhost:5000", any_service.url), any_service)
    assert told == ["Using AppID: appid1, VID: vid1"]
    assert any_service.in_use() == []
    assert [grant.appid for grant in any_service.grants] == ["appid1"]


def test_the_basic_usage(any_service: AnyService) -> None:
    assert run(BASIC_USAGE, any_service) == ["Acquired: appid_001 (VID: vid_001)"]
    assert any_service.in_use() == []


def test_the_concurrent_usage(any_service: AnyService) -> None:
    any_service.init("stt_billing", {f"a{n}": f"vid{n}" for n in range(5)})
    program = "import time\n" + CONCURRENT_USAGE.replace("time.sleep(10)", "time.sleep(0.1)")
    told = run(program, any_service)
    # Its threads print without a lock, so two of them may share a line.
    got = set(re.findall(r"Got (a\d)", "\n".join(told)))
    released = set(re.findall(r"Released (a\d)", "\n".join(told)))
    assert got == released == {f"a{n}" for n in range(5)}
    assert any_service.in_use() == []
