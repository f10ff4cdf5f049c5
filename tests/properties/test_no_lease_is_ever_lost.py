"""Whatever happens to leases, calls and processes: none is held by two, and none stays in use.

Real services over real HTTP; the clocks are turned, and faults strike where a process and its
service meet.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

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

from appid_manager_client.errors import AppIdManagerError
from appid_manager_client.journal.journal import Journal
from appid_manager_client.journal.reaping import reap
from appid_manager_client.lease.held import Lease
from tests.properties.processes import TTL, Fate, Interrupt, Killed, Process
from tests.support.field import FieldService
from tests.support.machine import TurnedSystem
from tests.support.ours import OurService
from tests.support.waiting import wait_until

APPIDS = [f"a{number}" for number in range(2)]


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

    trouble = st.sampled_from(
        [[], [Fate.SLOW], [Fate.LOST_AFTER, Fate.SLOW], [Fate.LOST_BEFORE], [Fate.LATE]]
    )

    # No sum of waits is a whole ttl: at that very moment either side may be right.
    lulls = st.sampled_from([0.3, 53.1])

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
        self._do(index, lambda process: process.keeper.run_once(), fates)

    # The rules below are stories: faults that only together, in this order, could cost an AppID.

    @rule(index=indices, asking=trouble, beating=trouble, first=lulls, second=lulls)
    def hold_for_a_while(
        self, index: int, asking: list[Fate], beating: list[Fate], first: float, second: float
    ) -> None:
        """Heartbeats come in time or too late; what is held has to be really held in between."""
        self.time_passes(3601.0)
        self.acquire(index, 1, asking)
        self.time_passes(first)
        self.every_held_lease_is_held_once_and_really()
        self._do(index, Process.beat, beating)
        self.time_passes(second)

    @rule(index=indices)
    def somebody_else_gives_it_back(self, index: int) -> None:
        """The next heartbeat, or the release where there are none, has to tell that it was lost."""
        for lease in [one for one in self.processes[index].leases if one.held][:1]:
            self.processes[1 - index].api.release(self.product, lease.appid)
            self._do(index, lambda process: self._hear_of_loss(process, lease), [])
            assert lease.lost

    def _hear_of_loss(self, process: Process, lease: Lease) -> None:
        if self.legacy:
            lease.release()
        else:
            self.system.turn(TTL / 3 + 1)
            process.keeper.run_once()

    @rule(index=indices)
    def release_while_a_heartbeat_is_on_its_way(self, index: int) -> None:
        process = self.processes[index]
        for lease in process.leases[:1]:
            process.transport.before["heartbeat"] = lease.release
        self._do(index, Process.beat, [])
        process.transport.before.clear()

    @rule(index=indices)
    def give_up_on_the_wire(self, index: int) -> None:
        self._do(index, lambda process: process.give_up_on_the_wire(self.product), [])

    @rule(
        index=indices, fate=st.sampled_from([*Fate, None]), then=st.sampled_from(["tend", "sweep"])
    )
    def give_back_after_the_turn(self, index: int, fate: Fate | None, then: str) -> None:
        """A release that goes wrong, and names somebody else's AppID when it is tried again."""
        self.time_passes(3601.0)
        self.acquire(index, 0, [])
        self.release(index, [] if fate is None else [fate])
        self.time_passes(3601.0)
        for _ in APPIDS:
            self.acquire(1 - index, 0, [])
        self.every_held_lease_is_held_once_and_really()
        if then == "tend":
            self.tend(index, [])
        else:
            self.sweep(index, [])

    @rule(index=indices, fates=fates)
    def shut(self, index: int, fates: list[Fate]) -> None:
        """The process comes to its end, and gives back what it can."""
        process = self.processes[index]
        process.transport.fates = list(fates)
        try:
            process.keeper.close()
        except (AppIdManagerError, Interrupt, Killed):
            pass
        self._replace(index)

    @rule(index=indices, fates=fates)
    def ask_and_look_at_the_books(self, index: int, fates: list[Fate]) -> None:
        """Before any ttl could mend it: once nothing is owed or on the wire, all in use is held."""
        self.acquire(index, 0, fates)
        for process in self.processes:
            process.transport.arrive_late()
            for _ in range(20):
                process.keeper.run_once()
                if not process.keeper.pending:
                    break
                self.system.turn(0.3)
        reap(self.journal, self.processes[0].api)
        if any(process.keeper.pending for process in self.processes):
            return
        held = {lease.appid for each in self.processes for lease in each.leases if lease.held}
        assert set(self.service.in_use(self.product)) == held

    @rule(index=indices, fates=fates)
    def sweep(self, index: int, fates: list[Fate]) -> None:
        self._do(index, lambda process: reap(self.journal, process.api), fates)

    @rule(index=indices)
    def arrive_late(self, index: int) -> None:
        self.processes[index].transport.arrive_late()

    @rule(index=indices)
    def kill(self, index: int) -> None:
        self._replace(index)

    @rule(seconds=st.sampled_from([0.3, 19.0, 53.9, 61.0, 3601.0]))
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
            assert all(process.keeper.idle for process in self.processes)
            assert os.listdir(self.journal.directory) == [], "a file of the journal was left"
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
                pause = process.keeper.run_once()
                if pause is None:
                    break
                self.system.turn(pause)
            assert process.keeper.pending == ()
        reap(self.journal, self.processes[0].api)


class LeasesOfTheField(Leases):
    legacy = True


class LeasesOfOurs(Leases):
    pass


_PROFILE = settings.default or settings()
_SETTINGS = settings(
    max_examples=_PROFILE.max_examples * 2 // 5,
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


@pytest.mark.parametrize(
    ("fates", "seconds"),
    # Ten seconds for the answer, and these: more than the ttl of 60. Or exactly that.
    [([Fate.SLOW], 55), ([Fate.LOST_AFTER, Fate.SLOW], 55), ([], 60)],
)
def test_a_lease_is_believed_in_no_longer_than_the_service_keeps_it(
    fates: list[Fate], seconds: float, tmp_path: Path
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
        system.turn(seconds)
        assert service.in_use("p") == []
        assert not lease.held
        process.keeper.close()
        process.close()
