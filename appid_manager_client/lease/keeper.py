"""All that this process owes one service: heartbeats for its claims, and releases still to deliver.

What is to be done, and every state of a claim, is decided in `ledger.py`, under the keeper's lock;
the keeper does the I/O outside the lock. A claim is forgotten only after the service confirmed its
end, or said that it isn't ours. A process that ends gives back what is left, within a bound.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from ..errors import AppIdManagerError, ClientClosed, ProtocolError, TransportError
from ..events import EventHook, EventKind
from ..runtime import forks
from ..runtime.executor import Executor
from ..runtime.identity import default_holder
from ..runtime.time import SystemTime
from ..runtime.worker import Worker
from ..wire.api import ServiceApi
from ..wire.models import Grant, Wait
from ..wire.retry import backoff
from . import exits, giveback
from .claim import Claim, ClaimState, LossHandler, Outcome, PendingRelease, Record
from .exits import EXIT_TIMEOUT
from .heartbeat import Heartbeat
from .ledger import LONGEST_BACKOFF, Ledger
from .reports import Reports

_FIRST_TRY = 1.0
"""Seconds that a release has to be answered when a client is closed, even without a timeout."""

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
        self._reports = Reports(api.base_url, on_event, system)
        self._heartbeat = Heartbeat(api, system)
        self._worker = worker or Worker(
            f"appid-keeper {api.base_url}", self._round, system, idle=lambda: self._ledger.empty
        )
        self._executor = executor or Executor("appid-release", 16, system)
        self._start_afresh()
        forks.register(self._after_fork_in_child)
        exits.register(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        # Guarded by _lock: the ledger, and with it the states of all claims.
        self._ledger = Ledger(self.system)
        self._forgotten: queue.SimpleQueue[Claim] = queue.SimpleQueue()

    def _after_fork_in_child(self) -> None:
        """Forget all claims: they are the parent's, which keeps and releases them."""
        self._start_afresh()

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
        exits.watch_this_process()
        if claim.holder is None:
            claim.holder = default_holder()
        if journaled:
            claim.record = self._open_record(claim)
        with self._lock:
            self._ledger.add(claim)

    def ask(self, claim: Claim, *, force: bool = False) -> Grant | Wait:
        """Send one acquire for `claim`, and note its result before anybody learns of it.

        Runs to its end in whatever thread it is called. If the claim was given up meanwhile, what
        it got is given back.
        """
        with self._lock:
            if not self._ledger.begin_acquire(claim):
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
            with self._lock:
                self._ledger.end_acquire(claim, grant, sent=sent, in_doubt=in_doubt)
            if claim.abandoned:
                self.give_up(claim)
        if grant is not None and claim.on_lost is not None:
            self._worker.wake()  # for its heartbeats, and to release it if its lease is forgotten
        return outcome

    def give_up(self, claim: Claim) -> None:
        """Nobody waits for `claim` any more: what it got, or may get yet, goes back."""
        with self._lock:
            state = self._ledger.give_up(claim)
        self._follow(claim, state)

    def hand_over(self, claim: Claim) -> None:
        """What `claim` got belongs to the caller from now on (plain `acquire_appid`)."""
        with self._lock:
            state = self._ledger.end(claim)
            unanswered = self._ledger.has_unanswered
        self._follow(claim, state)
        if unanswered:
            self._worker.wake()

    # --- giving back

    def release(self, claim: Claim) -> Outcome:
        """Release `claim` now, shielded: no signal, time limit or second thread stops it.

        An interrupt that comes before the executor has it is the caller's to answer, by `give_up`.
        """
        try:
            return self._executor.run_shielded(partial(self.try_release, claim), self._bound)
        except TimeoutError:
            return Outcome.DEFERRED

    def begin_release(self, claim: Claim) -> Future[Outcome]:
        """The same for coroutines: a future that nothing cancels."""
        return self._executor.submit(partial(self.try_release, claim))

    def try_release(self, claim: Claim) -> Outcome:
        """Try once to release `claim`, on this thread; what can't be delivered is deferred."""
        with self._lock:
            first = self._ledger.begin_release(claim)
        if first is None:
            return Outcome.NOTHING
        error: AppIdManagerError | None = None
        outcome = Outcome.DEFERRED
        try:
            outcome = giveback.give_back(self.api, claim, first=first)
        except AppIdManagerError as failed:
            # A log that keeps the error must not keep the frames, and with them a lease, alive.
            error = failed.with_traceback(None)
            if giveback.is_pointless(self.api, claim, failed):
                outcome = Outcome.NOTHING
        finally:
            with self._lock:
                state = self._ledger.end_release(claim, outcome, error)
            self._follow(claim, state)
        if outcome is Outcome.NOT_HELD:
            self._tell_lost(
                claim, "the service says that it was no longer ours when it was given back"
            )
        else:
            self._reports.release(claim, outcome, error)
        return outcome

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
        with self._lock:
            return self._ledger.pending()

    # --- the background

    def _round(self, message: Callable[[], object] | None) -> float | None:
        if message is not None:
            message()
        return self.run_once()

    def run_once(self) -> float | None:
        """Do what is due. Returns the seconds until more is, or `None` if nothing is scheduled."""
        self._take_forgotten()
        self._report_unanswered()
        self._send_heartbeats()
        with self._lock:
            due = self._ledger.take_due(self._bound)
        for claim in due:
            # On other threads: a service that hangs must not keep the heartbeats waiting.
            self._executor.submit(partial(self.try_release, claim))
        return self._seconds_to_next()

    def _take_forgotten(self) -> None:
        while True:
            try:
                claim = self._forgotten.get_nowait()
            except queue.Empty:
                return
            with self._lock:
                state = self._ledger.forget(claim)
            self._follow(claim, state)

    def _send_heartbeats(self) -> None:
        with self._lock:
            held = [claim for claim in self._ledger.in_state(ClaimState.HELD) if claim.beating]
        beat = self._heartbeat.send(held)
        with self._lock:
            self._ledger.confirm(beat.alive, beat.sent)
        self._lose(beat.lost, "the service says that the lease has ended", owe=False)
        now = self.system.monotonic()
        self._lose([claim for claim in held if now >= claim.overdue_at], _UNHEARD, owe=True)

    def _lose(self, claims: list[Claim], reason: str, *, owe: bool) -> None:
        """Mark held claims as lost. Unheard of, they may live on: then they are released too."""
        for claim in claims:
            with self._lock:
                state = self._ledger.lose(claim, owe=owe)
            if state is not None:
                self._follow(claim, state)
                self._tell_lost(claim, reason)

    def _tell_lost(self, claim: Claim, reason: str) -> None:
        self._reports.lost(claim, reason)
        on_lost = claim.on_lost() if claim.on_lost is not None else None
        if on_lost is not None:
            on_lost(claim, reason)

    def _report_unanswered(self) -> None:
        with self._lock:
            unanswered = self._ledger.take_unanswered()
        for product_name, spans in unanswered:
            giveback.warn_of_candidates(self.api, product_name, spans)

    def _seconds_to_next(self) -> float | None:
        with self._lock:
            if self._ledger.has_unanswered:
                return 0.0
            held = self._ledger.in_state(ClaimState.HELD)
            release = self._ledger.next_release()
        times = [due for due in (release, self._heartbeat.next_due(held)) if due is not None]
        if times:
            return max(0.0, min(times) - self.system.monotonic())
        return LONGEST_BACKOFF if held else None

    # --- the end

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Give back all that is held or owed, here and now, within about `timeout` seconds.

        What can't be delivered stays in the journal, for others to find; without one, the log
        names it. Returns whether everything was given back.
        """
        now = self.system.monotonic()
        deadline = now + timeout
        self._report_unanswered()
        # Each is tried once, even if there is no time, and has a moment to be answered.
        left = self._release_all(max(deadline, now + _FIRST_TRY))
        rounds = 1
        while left and self.system.monotonic() < deadline:
            pause = min(backoff(self.system, rounds, 1.0), timeout)
            self.system.wait(threading.Event(), pause)
            left = self._release_all(deadline)
            rounds += 1
        for claim in left:
            self._leave(claim)
        self._executor.close(max(0.0, deadline - self.system.monotonic()))
        self._worker.stop_when_idle()
        self._worker.join(max(0.0, deadline - self.system.monotonic()))
        return not left

    def post(self, work: Callable[[], object]) -> bool:
        """Have the thread that does the rounds call `work`. Returns whether there is one."""
        self._worker.wake()
        self._worker.post(work)
        return self._worker.running

    def leave(self) -> None:
        """Write down what is still owed; nothing more is tried."""
        with self._lock:
            claims = self._ledger.of_this_process()
        for claim in claims:
            self._leave(claim)

    def _release_all(self, deadline: float) -> list[Claim]:
        """Try once to release each claim, side by side. Returns those that are left.

        An interrupt stops none of the others; it is raised afterwards.
        """
        self._take_forgotten()
        with self._lock:
            claims = self._ledger.of_this_process()
        for claim in claims:
            if claim.state in (ClaimState.OPEN, ClaimState.SENDING):
                self.give_up(claim)
        tries: list[Future[Outcome]] = []
        for claim in claims:
            # Where no thread can be started, each of them takes as long as a call may.
            if tries and self.system.monotonic() >= deadline:
                break
            tries.append(self._executor.submit(partial(self.try_release, claim)))
        wait(tries, max(0.0, deadline - self.system.monotonic()))
        for future in tries:
            error = future.exception() if future.done() else None
            if error is not None and not isinstance(error, Exception):
                raise error
        with self._lock:
            return [claim for claim in claims if claim.state is not ClaimState.ENDED]

    def _leave(self, claim: Claim) -> None:
        with self._lock:
            if self._ledger.leave(claim) is None:
                return
        self._reports.left(claim)
        if claim.record is not None:
            claim.record.leave()

    # --- small things

    @property
    def _bound(self) -> float:
        """Seconds that one release may take, looks and connecting included."""
        return 3 * self.api.timeout + 1.0

    def _follow(self, claim: Claim, state: ClaimState | None) -> None:
        """Do what the new state of a claim asks for; `None`: it has not changed."""
        if state is ClaimState.OWED:
            self._worker.wake()
        elif state is ClaimState.ENDED and claim.record is not None:
            claim.record.close()

    def emit(self, kind: EventKind, claim: Claim, seconds: float | None = None) -> None:
        """Tell the client's hook of an event."""
        self._reports.emit(kind, claim, seconds)
