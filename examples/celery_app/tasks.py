"""A Celery app whose tasks each hold an AppID of their own while they run.

    celery -A tasks worker

The broker's address comes from `BROKER_URL`, the AppID service's from `APPID_MANAGER_URL`.
"""

from __future__ import annotations

import os

from appid_manager_client.integrations.celery import appid_options
from celery import Celery

from appid_manager_client import INJECTED, Lease

BROKER = os.environ.get("BROKER_URL", "redis://localhost:6379/0")

app = Celery("tasks", broker=BROKER, backend=BROKER)
app.conf.broker_connection_retry_on_startup = True


# When every AppID of the hour is used, the task is rescheduled to the next hour, and its worker
# does other work meanwhile.
@app.task(**appid_options("stt_billing"))
def transcribe(recording: str, *, lease: Lease = INJECTED) -> dict[str, str | int]:
    """Stands for a metered engine that works under `lease.appid`.

    Nobody else has this AppID until the function returns.
    """
    return {"recording": recording, "appid": lease.appid, "start_time": lease.start_time}
