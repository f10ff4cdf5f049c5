"""Whatever happens to leases, calls and processes: none is held by two, and in the end none is in use without a holder.

Real services over real HTTP; the clocks are turned, and faults strike where a process and its service meet.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from appid_manager_client.acquiring import Acquirer
from appid_manager_client.claims import Claim, ClaimState, Record
from appid_manager_client.clock import ServerClock
from appid_manager_client.config import Settings
from appid_manager_client.errors import AppIdManagerError, RequestTimeout, ServiceUnavailable
from appid_manager_client.journal import Journal
from appid_manager_client.keeper import LeaseKeeper
from appid_manager_client.lease import Lease, LeaseOptions
from appid_manager_client.reaping import reap
from appid_manager_client.service import ServiceApi
from appid_manager_client.transport import Answer, Transport
from appid_manager_client.waiting import WaitOptions
from tests.support.field import FieldService
from tests.support.ours import OurService
from tests.support.waiting import wait_until
from tests.support.machine import TurnedSystem

TTL = 60.0
APPIDS = [f"a{number}" for number in range(2)]


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
"""What can befall an acquire on a service without the extensions without an AppID being lost there."""


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
        self.late: list[Callable[[], Answer]] = []
        self.legacy = False

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        authenticated: bool = True,
    ) -> Answer:
        def send() -> Answer:
            return Transport.call(
                self, method, path, body=body, query=query, authenticated=authenticated
            )

        fate = self.fates.pop(0) if self.fates else None
        if self.legacy and (fate is Fate.LATE or (path.endswith("acquire") and fate not in GENTLE)):
            fate = None  # nothing on this side can mend that there
        if fate is Fate.REFUSED:
            raise ServiceUnavailable("refused", maybe_received=False)
        if fate is Fate.LOST_BEFORE:
            raise RequestTimeout("lost before")
        if fate is Fate.LATE:
            self.late.append(send)
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
        """What was under way reaches the service now."""
        while self.late:
            try:
                self.late.pop(0)()
            except AppIdManagerError:
                pass


class Process:
    """One living process: a client's parts, its leases, and a journal that it shares with the others."""

    def __init__(self, url: str, token: str | None, system: TurnedSystem, journal: Journal) -> None:
        self.system = system
        self.journal = journal
        self.transport = FatefulTransport(Settings.resolve(url, auth_token=token), system)
        self.api = ServiceApi(self.transport, ServerClock(system))
        self.keeper = LeaseKeeper(self.api, system, open_record=self._record, threaded=False)
        self.acquirer = Acquirer(self.keeper, system)
        self.leases: list[Lease] = []

    def _record(self, claim: Claim) -> Record:
        return self.journal.open(
            service=self.transport.base_url,
            product_name=claim.product_name,
            request_id=claim.request_id,
        )

    def lease(self, product: str, tries: int) -> None:
        wait = WaitOptions(max_retries=tries, retry_interval=5)
        lease = Lease(self.keeper, self.acquirer, product, LeaseOptions(wait, TTL, None, None))
        lease.acquire()
        self.leases.append(lease)

    @property
    def quiet(self) -> bool:
        """Whether nothing is on the wire."""
        on_the_wire = (ClaimState.SENDING, ClaimState.SETTLING)
        return all(claim.state not in on_the_wire for claim in list(self.keeper._claims))

    def die(self) -> None:
        """As kill -9 leaves it: nothing is sent any more, and the kernel frees the locks."""
        for claim in list(self.keeper._claims):
            claim.pid = -1
            if claim.record is not None:
                claim.record.leave()
            claim.state = ClaimState.ENDED
        self.keeper._claims.clear()
        self.close()

    def close(self) -> None:
        self.acquirer.close()
        self.keeper._releasers.close()
        self.transport.close()


class Leases(RuleBasedStateMachine):
    """The rules that both kinds of service share. `make_service` and `legacy` say which it is."""

    legacy = False
    service: FieldService | OurService
    _products = itertools.count()

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, self.directory)
        self.journal = Journal(self.directory / "journal")
        self.product = f"p{next(self._products)}"
        self.appids = [f"{self.product}-{appid}" for appid in APPIDS]
        self.service.init(self.product, {appid: 1 for appid in self.appids})
        self.system = TurnedSystem(followers=(self.service.advance,))
        self.processes = [self._process() for _ in range(2)]

    def _process(self) -> Process:
        process = Process(self.service.url, self.service.auth_token, self.system, self.journal)
        process.transport.legacy = self.legacy
        return process

    def _do(self, index: int, action: Callable[[Process], object], fates: list[Fate]) -> None:
        process = self.processes[index]
        process.transport.fates = list(fates)
        try:
            action(process)
        except (AppIdManagerError, Interrupt):
            pass
        except Killed:
            self._replace(index)
        finally:
            wait_until(lambda: process.quiet, what="helpers end what nobody waits for any more")
            process.transport.fates.clear()
            process.leases = [lease for lease in process.leases if lease.held]

    def _replace(self, index: int) -> None:
        """The process is dead; what it had sent still arrives, and another one takes its place."""
        self.processes[index].die()
        self.processes[index].transport.arrive_late()
        self.processes[index] = self._process()

    indices = st.integers(0, 1)

    fates = st.lists(st.sampled_from(Fate), max_size=3)

    @rule(index=indices, tries=st.integers(0, 3), fates=fates)
    def acquire(self, index: int, tries: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: process.lease(self.product, tries), fates)

    @rule(index=indices, fates=fates)
    def release(self, index: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: [lease.release() for lease in process.leases[:1]], fates)

    @rule(index=indices, fates=fates)
    def renew(self, index: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: [lease.renew() for lease in process.leases[:1]], fates)

    @rule(index=indices)
    def forget(self, index: int) -> None:
        del self.processes[index].leases[:1]
        gc.collect()

    @rule(index=indices, fates=fates)
    def tend(self, index: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: process.keeper.tend(), fates)

    @rule(index=indices, fates=fates)
    def sweep(self, index: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: reap(self.journal, process.api), fates)

    @rule(index=indices)
    def arrive_late(self, index: int) -> None:
        self.processes[index].transport.arrive_late()

    @rule(index=indices)
    def kill(self, index: int) -> None:
        self._replace(index)

    @rule(seconds=st.sampled_from([0.3, 19.0, 55.0, 61.0, 3601.0]))
    def time_passes(self, seconds: float) -> None:
        self.system.turn(seconds)

    @invariant()
    def every_held_lease_is_held_once_and_really(self) -> None:
        if not hasattr(self, "processes"):
            return
        held = [lease.appid for process in self.processes for lease in process.leases if lease.held]
        assert len(held) == len(set(held)), held
        assert set(held) <= set(self.service.in_use(self.product))

    def teardown(self) -> None:
        if not hasattr(self, "processes"):
            return
        try:
            self._settle()
            grants = [
                (grant.appid, grant.hour)
                for grant in self.service.grants
                if grant.product == self.product
            ]
            assert len(grants) == len(set(grants)), "an AppID was handed out twice in an hour"
            assert self.service.in_use(self.product) == []
        finally:
            for process in self.processes:
                process.close()
            self.stack.close()

    def _settle(self) -> None:
        """The trouble ends, and everybody does what is theirs to do."""
        gc.collect()  # leases that nobody holds any more, but that a traceback kept alive
        for process in self.processes:
            process.transport.arrive_late()
            for lease in process.leases:
                lease.release()
            for _ in range(200):
                pause = process.keeper.tend()
                if pause is None:
                    break
                self.system.turn(pause)
            assert process.keeper.pending == ()
        reap(self.journal, self.processes[0].api)


class LeasesOfTheField(Leases):
    legacy = True


class LeasesOfOurs(Leases):
    pass


_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.filterwarnings("ignore:a lease of:ResourceWarning")
def test_on_the_fields_service() -> None:
    with FieldService() as service:
        service.clock.freeze()
        LeasesOfTheField.service = service
        _run(LeasesOfTheField)


@pytest.mark.filterwarnings("ignore:a lease of:ResourceWarning")
def test_on_ours() -> None:
    with OurService() as service:
        service.local.clock.freeze()
        LeasesOfOurs.service = service
        _run(LeasesOfOurs)


def _run(machine: type[Leases]) -> None:
    gc.collect()
    gc.freeze()  # each collection in the machine looks only at what it made itself
    try:
        run_state_machine_as_test(machine, settings=_SETTINGS)
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("fates", [[Fate.SLOW], [Fate.LOST_AFTER, Fate.SLOW]])
def test_a_lease_is_believed_in_no_longer_than_the_service_keeps_it(
    fates: list[Fate], tmp_path: Path
) -> None:
    with OurService() as service:
        service.local.clock.freeze()
        service.init("p", {"a1": 1})
        system = TurnedSystem(followers=(service.advance,))
        process = Process(service.url, service.auth_token, system, Journal(tmp_path / "journal"))
        process.transport.fates = list(fates)
        process.lease("p", tries=1)
        (lease,) = process.leases
        assert lease.held
        system.turn(55)  # ten seconds for the answer, and these: more than the ttl of 60
        assert service.in_use("p") == []
        assert not lease.held
        process.keeper.close()
        process.close()
