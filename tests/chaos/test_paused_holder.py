"""A holder that is paused for longer than its ttl: the store of docs/fencing.md refuses it."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.support.programs import Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fencing.md"


def store_of_the_page(database: Path) -> str:
    """The page's program for a database, up to its use: `record(appid, seconds, fence)`."""
    (text,) = re.findall(
        r"^```python\n(import sqlite3\n.*?)^with client", PAGE.read_text(), re.S | re.M
    )
    assert isinstance(text, str)
    return text.replace('":memory:"', repr(str(database)))


def test_what_it_writes_after_a_younger_holder_is_refused(tmp_path: Path) -> None:
    store = store_of_the_page(tmp_path / "usage.db")
    here: dict[str, Any] = {}
    exec(store, here)
    text = f"""{store}
with client.lease("p", ttl=1) as lease:
    say("wrote", record(lease.appid, 1, lease.fence))
    listen()
    say("wrote", record(lease.appid, 2, lease.fence))
"""
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        with Program(text, service) as older:
            assert older.expect("wrote") == ["True"]
            older.signal(signal.SIGSTOP)
            service.advance_to_next_hour()  # its ttl is over, and the AppID free again
            with client.lease("p") as younger:
                assert here["record"](younger.appid, 3, younger.fence)
                older.tell()
                older.signal(signal.SIGCONT)
                assert older.expect("wrote") == ["False"], older.story
            (found,) = here["database"].execute("SELECT seconds, fence FROM usage")
            assert found == (3, younger.fence)
    here["database"].close()


def test_a_call_that_keeps_the_interpreter_longer_than_the_ttl_loses_the_lease() -> None:
    """As docs/leases.md says: no heartbeat is sent meanwhile; a longer `ttl` outlasts it."""
    text = """
import ctypes, time
from appid_manager_client import LeaseLost
stall = ctypes.PyDLL(None).sleep  # it keeps the interpreter's lock
for ttl in (1, 60):
    with client.lease("p", ttl=ttl) as lease:
        stall(3)
        deadline = time.monotonic() + 20
        while ttl == 1 and not lease.lost and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            lease.check()
            say("kept", ttl)
        except LeaseLost:
            say("lost", ttl)
say("end")
"""
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1, "b": 2})
        with Program(text, service) as holder:
            assert holder.expect("lost") == ["1"]
            assert holder.expect("kept") == ["60"], holder.story
            holder.expect("end")
        ended = {lease["appid"]: lease["ended"] for lease in service.history("p")}
        assert ended == {"a": "expired", "b": "released"}
