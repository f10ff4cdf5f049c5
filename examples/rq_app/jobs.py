"""A job that holds an AppID of its own while it runs.

    rq worker --with-scheduler -w appid_manager_client.integrations.rq.AppIdWorker

The AppID service's address comes from `APPID_MANAGER_URL`.
"""

from __future__ import annotations

from appid_manager_client.integrations.rq import appid_job

from appid_manager_client import INJECTED, Lease


# When every AppID of the hour is used, the job is rescheduled to the next hour, and its worker
# does other work meanwhile.
@appid_job("stt_billing")
def transcribe(recording: str, *, lease: Lease = INJECTED) -> dict[str, str | int]:
    """Stands for a metered engine that works under `lease.appid`.

    Nobody else has this AppID until the function returns.
    """
    return {"recording": recording, "appid": lease.appid, "start_time": lease.start_time}
