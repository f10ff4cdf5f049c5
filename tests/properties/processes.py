"""What the property test of leases works on: processes that share a journal, and faulty calls.

A `Process` has all parts of a client but its threads: its keeper works when it is told to, in
turned time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from appid_manager_client.config import Settings
from appid_manager_client.errors import AppIdManagerError, RequestTimeout, ServiceUnavailable
from appid_manager_client.journal.journal import Journal
from appid_manager_client.lease.acquirer import Acquirer
from appid_manager_client.lease.claim import Claim, ClaimState, Record
from appid_manager_client.lease.held import Lease
from appid_manager_client.lease.keeper import LeaseKeeper
from appid_manager_client.lease.lease import ClientLease
from appid_manager_client.lease.options import LeaseOptions, WaitOptions
from appid_manager_client.wire.answers import Answer
from appid_manager_client.wire.api import ServiceApi
from appid_manager_client.wire.clock import ServerClock
from appid_manager_client.wire.transport import Transport
from tests.support.machine import TurnedSystem
from tests.support.threadless import IdleWorker, InlineExecutor
from tests.support.waiting import PATIENCE

TTL = 60.0
_LONGEST_WAY = 20 * 3600.0


class Fate(Enum):
    """What becomes of a call."""

    REFUSED = "it never reaches the service"
    LOST_BEFORE = "it is lost on the way, and nobody can tell"
    LOST_AFTER = "the service acts, and its answer is lost"
    LATE = "the caller gives up, and the service acts on it later"
    SLOW = "its answer takes ten seconds"
    INTERRUPTED = "a signal strikes after the service acted"
    KILLED = "the process is killed after the service acted"


GENTLE = [Fate.REFUSED, Fate.LOST_BEFORE, Fate.SLOW]
"""What can happen to an acquire at a field service without an AppID being lost there."""


class Interrupt(BaseException):
    """A signal's exception."""


class Killed(BaseException):
    """The process is gone."""


class FatefulTransport(Transport):
    """A transport whose next calls have fates."""

    def __init__(self, settings: Settings, system: TurnedSystem) -> None:
        super().__init__(settings, system)
        self._turned = system
        self.fates: list[Fate] = []
        self.late: list[tuple[float, Callable[[], Answer]]] = []
        self.legacy = False
        self.before: dict[str, Callable[[], object]] = {}
        """What happens meanwhile, before the service acts on the next call of that name."""
        self.after: dict[str, Callable[[], object]] = {}
        """The same, before its answer arrives."""

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        authenticated: bool = True,
        longer: float = 0.0,
    ) -> Answer:
        name = path.rpartition("/")[2]

        def send() -> Answer:
            self.before.pop(name, _nothing)()
            answer = Transport.call(
                self, method, path, body=body, query=query, authenticated=authenticated
            )
            self.after.pop(name, _nothing)()
            return answer

        fate = self.fates.pop(0) if self.fates else None
        if self.legacy and (fate is Fate.LATE or (name == "acquire" and fate not in GENTLE)):
            fate = None  # nothing on this side can mend that there
        if fate is Fate.REFUSED:
            raise ServiceUnavailable("refused", maybe_received=False)
        if fate is Fate.LOST_BEFORE:
            raise RequestTimeout("lost before")
        if fate is Fate.LATE:
            self.late.append((self._turned.monotonic(), send))
            raise RequestTimeout("late")
        answer = send()
        if fate is Fate.SLOW:
            self._turned.turn(10)
        if fate is Fate.LOST_AFTER:
            raise ServiceUnavailable("lost after")
        if fate is Fate.INTERRUPTED:
            raise Interrupt
        if fate is Fate.KILLED:
            raise Killed
        return answer

    def arrive_late(self) -> None:
        """What was on the wire reaches the service now, unless it has forgotten the request."""
        while self.late:
            sent, send = self.late.pop(0)
            if self._turned.monotonic() - sent > _LONGEST_WAY:
                continue
            try:
                send()
            except AppIdManagerError:
                pass


def _nothing() -> None:
    pass


class Process:
    """One living process: a client's parts, its leases, and a journal shared with the others."""

    def __init__(self, url: str, token: str | None, system: TurnedSystem, journal: Journal) -> None:
        self.system = system
        self.journal = journal
        self.transport = FatefulTransport(Settings.resolve(url, auth_token=token), system)
        self.api = ServiceApi(self.transport, ServerClock(system))
        self.claims: list[Claim] = []
        self.keeper = LeaseKeeper(
            self.api,
            system,
            open_record=self._record,
            executor=InlineExecutor(system),
            worker=IdleWorker(system),
        )
        self.acquirer = Acquirer(self.keeper, system)
        self.leases: list[Lease] = []

    def _record(self, claim: Claim) -> Record:
        self.claims.append(claim)
        return self.journal.open(
            service=self.transport.base_url,
            product_name=claim.product_name,
            request_id=claim.request_id,
        )

    def lease(self, product: str, tries: int) -> None:
        lease = self._new_lease(product, tries)
        lease.acquire()
        self.leases.append(lease)

    def give_up_on_the_wire(self, product: str) -> None:
        """Acquire in a task that is cancelled after the service acted, before the answer came."""
        given_up = threading.Event()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            task = asyncio.create_task(self._new_lease(product, 0).acquire_async())

            def meanwhile() -> None:
                loop.call_soon_threadsafe(task.cancel)
                assert given_up.wait(PATIENCE)

            self.transport.after["acquire"] = meanwhile
            try:
                await task
            except asyncio.CancelledError:
                pass
            finally:
                self.transport.after.clear()
                given_up.set()

        asyncio.run(main())

    def _new_lease(self, product: str, tries: int) -> Lease:
        wait = WaitOptions(max_retries=tries, retry_interval=5)
        return ClientLease(self.keeper, self.acquirer, product, LeaseOptions(wait, TTL, None, None))

    def beat(self) -> None:
        """Do what the keeper's thread does when it is due."""
        self.system.turn(self.keeper.run_once() or 0)
        self.keeper.run_once()

    @property
    def quiet(self) -> bool:
        """Whether nothing is on the wire."""
        on_the_wire = (ClaimState.SENDING, ClaimState.RELEASING)
        return all(claim.state not in on_the_wire for claim in self.claims)

    def die(self) -> None:
        """As kill -9 leaves it: nothing is sent any more, and the kernel frees the locks."""
        for claim in self.claims:
            claim.pid = -1
            if claim.record is not None:
                claim.record.leave()
        self.close()

    def close(self) -> None:
        self.acquirer.close()
        self.transport.close()
