"""A decorated business function: every call holds an AppID of its own.

    python examples/decorated.py

It runs against a service of its own. Without `set_default_client()` the client would be made from
`APPID_MANAGER_URL` and `APPID_MANAGER_TOKEN`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from appid_manager_client import INJECTED, AppIdClient, Lease, set_default_client, uses_appid
from appid_manager_client.testing import LocalService


@uses_appid("stt_billing", min_remaining=60)
def transcribe(recording: str, *, lease: Lease = INJECTED) -> str:
    """Stand in for a metered engine: nobody else has `lease.appid` until this returns."""
    return f"{recording}: billed to {lease.appid} (vid {lease.vid})"


def main() -> None:
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("stt_billing", {f"appid{n}": f"vid{n}" for n in range(1, 9)})
        set_default_client(client)
        recordings = [f"call-{n}.wav" for n in range(1, 7)]
        with ThreadPoolExecutor(3) as threads:
            for line in threads.map(transcribe, recordings):
                print(line)
        status = client.get_status("stt_billing")
        in_use = [entry for entry in status["appids"] if entry["status"] == "in_use"]
        print(f"{len(in_use)} AppIDs in use, {status['available']} still free in this hour")
        set_default_client(None)


if __name__ == "__main__":
    main()
