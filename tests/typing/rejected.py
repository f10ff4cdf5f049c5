"""What type checkers must reject: exactly the lines that are marked.

Checked by `test_typing.py`, never run.
"""

# pyright: strict
from __future__ import annotations

from appid_manager_client import INJECTED, AppIdClient, Lease, uses_appid

client = AppIdClient("http://localhost:5000")
pool = client.pool("stt_billing")


def number(minutes: int) -> int:
    return minutes


@uses_appid("stt_billing")
def bill(minutes: int, *, lease: Lease = INJECTED) -> str:
    return lease.nothing  # rejected


@uses_appid("stt_billing")
def mistyped(*, lease: str = INJECTED) -> None: ...  # rejected


bill()  # rejected
bill("3")  # rejected
bill(3, 4)  # rejected
bill(3, lease="mine")  # rejected
bill(3, lease=pool)  # rejected
bill(3, rate=2)  # rejected
bill(3).appid  # rejected


class Job:
    @uses_appid("stt_billing")
    def run(self, x: int, *, lease: Lease = INJECTED) -> str:
        return ""

    @uses_appid("stt_billing")
    @classmethod
    def build(cls, x: int, *, lease: Lease = INJECTED) -> None: ...


Job().run()  # rejected
Job().run("x")  # rejected
Job.build("x")  # rejected

uses_appid()  # rejected
uses_appid(3)  # rejected
uses_appid(number)  # rejected
uses_appid("stt_billing", client="http://localhost:5000")  # rejected
uses_appid("stt_billing", pool=client)  # rejected
uses_appid("stt_billing", client=client, pool=pool)  # rejected
uses_appid("stt_billing", pool=pool, holder="me")  # rejected
uses_appid("stt_billing", retries=3)  # rejected
uses_appid("stt_billing", timeout="3")  # rejected
uses_appid("stt_billing", inject=False)  # rejected
uses_appid("stt_billing")(3)  # rejected
