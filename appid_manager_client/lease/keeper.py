"""The keeper of a client's claims: asks for them, keeps them alive, and has them given back.

Every state of a claim is decided in `ledger.py`, under its lock; the keeper does the I/O outside
the lock. How claims are given back stands in `giveback.py`. A claim is forgotten only after the
service confirmed its end, or said that it isn't ours.
"""

from __future__ import annotations

import os
import queue
import weakref
from collections.abc import Callable

from ..errors import AppIdManagerError, ClientClosed, ProtocolError, TransportError
from ..events import EventHook, EventKind
from ..runtime import forks
from ..runtime.executor import Call, Executor
from ..runtime.identity import default_holder
from ..runtime.time import SystemTime
from ..runtime.worker import LINGER, Worker
from ..wire.api import ServiceApi
from ..wire.models import LOOK, Asking, Grant, Wait
from . import exits
from .claim import Claim, LossHandler, Outcome, PendingRelease, Record
from .exits import EXIT_TIMEOUT
from .giveback import GiveBack
from .heartbeat import Heartbeat
from .ledger import LONGEST_RELEASE_BACKOFF, Ledger
from .reports import Reports

_UNHEARD = "no heartbeat got through for a whole ttl"

RecordOpener = Callable[[Claim], Record | None]


class LeaseKeeper:
    """The keeper of one client's claims.

    Args:
        api: the service.
        system: the clock and the jitter.
        open_record: makes a claim's record in the journal; returns `None` where there is none.
        on_event: called with each event.
        executor: the threads that releases are sent from.
        worker: the thread that does the rounds; it calls `run_once`.
    """

    def __init__(
        self,
        api: ServiceApi,
        system: SystemTime,
        *,
        open_record: RecordOpener = lambda claim: None,
        on_event: EventHook | None = None,
        executor: Executor | None = None,
        worker: Worker[Callable[[], object]] | None = None,
    ) -> None:
        self.api = api
        self.system = system
        self._open_record = open_record
        self._ledger = Ledger(system)
        self._reports = Reports(api.base_url, on_event, system)
        self._heartbeat = Heartbeat(api, system)
        self._worker = worker or Worker(
            f"appid-keeper {api.base_url}", self._round, system, idle=lambda: self._ledger.empty
        )
        self._giveback = GiveBack(
            api,
            system,
            self._ledger,
            executor or Executor("appid-release", 16, system),
            self._reports,
            self._worker.wake,
        )
        self._forgotten: queue.SimpleQueue[Claim] = queue.SimpleQueue()
        # Guarded by the ledger's lock: when the next round is done without being asked for, if the
        # worker runs.
        self._next_round = 0.0
        forks.register(self._after_fork_in_child)
        exits.register(self)

    def _after_fork_in_child(self) -> None:
        self._ledger.start_afresh()
        self._forgotten = queue.SimpleQueue()
        self._next_round = 0.0

    # --- acquiring

    def open(
        self,
        product_name: str,
        *,
        ttl: float | None = None,
        holder: str | None = None,
        on_lost: LossHandler | None = None,
        journaled: bool = True,
    ) -> Claim:
        """Make a claim that is about to be asked for, and take charge of it."""
        claim = Claim(product_name, ttl=ttl, holder=holder)
        claim.on_lost = None if on_lost is None else weakref.WeakMethod(on_lost)
        self.register(claim, journaled=journaled)
        return claim

    def register(self, claim: Claim, *, journaled: bool = True) -> None:
        """Take charge of `claim`. Its record is in the journal before anything is sent."""
        if claim.holder is None:
            claim.holder = default_holder()
        if journaled:
            claim.record = self._open_record(claim)
        with self._ledger.lock:
            self._ledger.add(claim)

    def ask(self, claim: Claim, *, force: bool = False, asking: Asking = LOOK) -> Grant | Wait:
        """Send one acquire for `claim`, and note its result before anybody learns of it.

        Runs to its end in whatever thread it is called. If the claim was given up meanwhile, what
        it got is given back.
        """
        with self._ledger.lock:
            if not self._ledger.begin_acquire(claim, in_line=asking.wait is not None):
                raise ClientClosed(
                    f"the client of {self.api.base_url} was closed before the acquire was sent",
                    service=self.api.base_url,
                )
        sent = self.system.monotonic()
        outcome: Grant | Wait | None = None
        in_doubt = True
        try:
            outcome = self.api.acquire(
                claim.product_name,
                request_id=claim.request_id,
                ttl=claim.ttl,
                holder=claim.holder,
                force=force,
                asking=asking,
            )
            in_doubt = False
            if isinstance(outcome, Grant) and claim.record is not None:
                claim.record.granted(
                    appid=outcome.appid,
                    vid=outcome.vid,
                    start_time=outcome.start_time,
                    lease_id=outcome.lease_id,
                )
        except AppIdManagerError as error:
            in_doubt = isinstance(error, (TransportError, ProtocolError)) and error.maybe_received
            raise
        finally:
            grant = outcome if isinstance(outcome, Grant) else None
            with self._ledger.lock:
                self._ledger.end_acquire(claim, grant, sent=sent, in_doubt=in_doubt)
                soon_enough = self._next_round <= claim.beat_at
            if claim.abandoned:
                self.give_up(claim)
        if grant is not None and claim.on_lost is not None:
            # For its heartbeats, and to release it if its lease is forgotten. To wake the worker
            # for each lease would cost more than the lease.
            if soon_enough:
                self._worker.start()
            else:
                self._worker.wake()
        return outcome

    def give_up(self, claim: Claim) -> None:
        """Nobody waits for `claim` any more: what it got, or may get yet, goes back."""
        self._giveback.give_up(claim)

    def keep_place(self, claim: Claim) -> None:
        """Somebody else goes on with the place in line of `claim`: it isn't left."""
        with self._ledger.lock:
            self._ledger.left_line(claim)

    def hand_over(self, claim: Claim) -> None:
        """What `claim` got belongs to the caller from now on (plain `acquire_appid`)."""
        with self._ledger.lock:
            state = self._ledger.end(claim)
            unanswered = self._ledger.has_unanswered
        self._giveback.follow(claim, state)
        if unanswered:
            self._worker.wake()

    # --- giving back

    def release(self, claim: Claim) -> Outcome:
        """Release `claim` now, shielded from interrupts; see `GiveBack.shielded`."""
        return self._giveback.shielded(claim)

    def begin_release(self, claim: Claim) -> Call[Outcome]:
        """The same for coroutines: a call that nothing stops."""
        return self._giveback.begin(claim)

    def try_release(self, claim: Claim) -> Outcome:
        """Try once to release `claim`, on this thread; what can't be delivered is deferred."""
        return self._giveback.try_once(claim)

    def forget(self, claim: Claim) -> None:
        """Release `claim`: its lease was garbage-collected. Takes no lock: safe in a `__del__`."""
        self._forgotten.put(claim)
        self._worker.post(None)

    def overdue(self, claim: Claim) -> bool:
        """Whether a whole `ttl` of `claim` passed unconfirmed; if so it is lost from now on."""
        if not self._worker.running:
            self._worker.wake()  # its thread could not be started when it was needed
        if not claim.beating or self.system.monotonic() < claim.overdue_at:
            return False
        if claim.pid != os.getpid():
            return False  # a forked child hears nothing of its parent's heartbeats
        self._lose([claim], _UNHEARD, owe=True)
        return True

    @property
    def idle(self) -> bool:
        """Whether there are no claims: nothing is held, asked for, or owed."""
        return self._ledger.empty

    @property
    def pending(self) -> tuple[PendingRelease, ...]:
        """The releases that are owed, and retried in the background."""
        with self._ledger.lock:
            return self._ledger.pending()

    # --- the background

    def _round(self, message: Callable[[], object] | None) -> float | None:
        if message is not None:
            message()
        return self.run_once()

    def run_once(self) -> float | None:
        """Do what is due. Returns the seconds until more is, or `None` if nothing is scheduled."""
        self._take_forgotten()
        self._giveback.report_unanswered()
        self._send_heartbeats()
        self._giveback.retry_due()
        return self._seconds_to_next()

    def _take_forgotten(self) -> None:
        while True:
            try:
                claim = self._forgotten.get_nowait()
            except queue.Empty:
                return
            with self._ledger.lock:
                state = self._ledger.forget(claim)
            self._giveback.follow(claim, state)

    def _send_heartbeats(self) -> None:
        with self._ledger.lock:
            held = self._ledger.take_beats()
        if not held:
            return
        beat = self._heartbeat.send(held)
        with self._ledger.lock:
            self._ledger.confirm(beat.alive, beat.sent)
        self._lose(beat.lost, "the service says that the lease has ended", owe=False)
        now = self.system.monotonic()
        self._lose([claim for claim in held if now >= claim.overdue_at], _UNHEARD, owe=True)

    def _lose(self, claims: list[Claim], reason: str, *, owe: bool) -> None:
        """Mark held claims as lost. Unheard of, they may live on: then they are released too."""
        for claim in claims:
            with self._ledger.lock:
                state = self._ledger.lose(claim, owe=owe)
            if state is not None:
                self._giveback.follow(claim, state)
                self._reports.lost(claim, reason)

    def _seconds_to_next(self) -> float | None:
        now = self.system.monotonic()
        with self._ledger.lock:
            due = self._ledger.next_due()
            pause = None if due is None else min(max(0.0, due - now), LONGEST_RELEASE_BACKOFF)
            if self._ledger.has_unanswered:
                pause = 0.0
            # Without anything to do the worker lingers, and before it ends it looks once more.
            self._next_round = now + (LINGER if pause is None else pause)
        return pause

    # --- the end

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Give back all that is held or owed, here and now, within about `timeout` seconds.

        What can't be delivered stays in the journal, for others to find; without one, the log
        names it. Returns whether everything was given back.
        """
        deadline = self.system.monotonic() + timeout
        self._take_forgotten()
        done = self._giveback.everything(timeout)
        self._worker.stop_when_idle()
        self._worker.join(max(0.0, deadline - self.system.monotonic()))
        return done

    def post(self, work: Callable[[], object]) -> bool:
        """Have the thread that does the rounds call `work`. Returns whether there is one."""
        self._worker.wake()
        self._worker.post(work)
        return self._worker.running

    def leave(self) -> None:
        """Write down what is still owed; nothing more is tried."""
        self._giveback.leave()

    def emit(self, kind: EventKind, claim: Claim, seconds: float | None = None) -> None:
        """Tell the client's hook of an event."""
        self._reports.emit(kind, claim, seconds)
