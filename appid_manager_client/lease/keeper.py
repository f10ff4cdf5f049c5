"""All that this process owes one service: heartbeats for what it holds, releases that could not be delivered yet.

A claim is forgotten only after the service confirmed its end, or said that it isn't ours. One daemon thread works while
there is work; a process that ends gives back what is left, within a bound; a forked child owes nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from .. import events
from ..errors import (
    AppIdManagerError,
    AuthenticationError,
    InvalidRequest,
    ProtocolError,
    TransportError,
)
from ..events import Event, EventHook, EventKind
from ..runtime import forks
from ..runtime.executor import Executor
from ..runtime.time import SystemTime
from ..runtime.worker import Worker
from ..wire.api import ServiceApi
from ..wire.models import Grant, Wait
from ..wire.retry import backoff
from . import giveback
from .claim import Claim, ClaimState, Outcome, Owner, PendingRelease, Record
from .heartbeat import Heart

logger = logging.getLogger("appid_manager_client")

EXIT_TIMEOUT = 5.0
"""Seconds that the end of the process, or `close()`, may spend on giving back what is left."""

_LONGEST_BACKOFF = 60.0

RecordOpener = Callable[[Claim], Record | None]


class LeaseKeeper:
    """The keeper of one client's claims. Without `threaded`, `tend()` has to be called by hand (tests do)."""

    def __init__(
        self,
        api: ServiceApi,
        system: SystemTime,
        *,
        open_record: RecordOpener = lambda claim: None,
        on_event: EventHook | None = None,
        threaded: bool = True,
    ) -> None:
        self.api = api
        self.system = system
        self._open_record = open_record
        self._on_event = on_event
        self._threaded = threaded
        self._heart = Heart(api, system)
        self._worker: Worker[None] = Worker(
            f"appid-keeper {api.base_url}", self._round, system, idle=lambda: not self._claims
        )
        self._releasers = Executor("appid-release", 16, system)
        self._start_afresh()
        forks.register(self)
        _keepers.add(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        # Guarded by _lock: these, and the states of all claims.
        self._claims: set[Claim] = set()
        self._doubtful: list[tuple[str, list[tuple[float, float]]]] = []
        self._forgotten: queue.SimpleQueue[Claim] = queue.SimpleQueue()

    def after_fork_in_child(self) -> None:
        # The claims are the parent's: no release, no heartbeat, no lock of its threads.
        self._start_afresh()

    # --- acquiring

    def open(
        self,
        product_name: str,
        *,
        ttl: float | None = None,
        holder: str | None = None,
        owner: Owner | None = None,
        journaled: bool = True,
    ) -> Claim:
        """A claim about to be asked for; its record is in the journal before anything is sent."""
        claim = Claim(product_name, ttl=ttl, holder=holder)
        claim.owner = None if owner is None else weakref.ref(owner)
        self.register(claim, journaled=journaled)
        return claim

    def register(self, claim: Claim, *, journaled: bool = True) -> None:
        """Take charge of `claim` before it is asked for: its record is in the journal before anything is sent."""
        if journaled:
            claim.record = self._open_record(claim)
        with self._lock:
            self._claims.add(claim)

    def ask(self, claim: Claim, *, force: bool = False) -> Grant | Wait:
        """Send one acquire for `claim`, and write down what came of it before anybody learns of it.

        Runs to its end in whatever thread it is called; if the claim was given up meanwhile, what it got is given back.
        """
        with self._lock:
            if claim.abandoned or claim.state is not ClaimState.OPEN:
                raise _Abandoned()
            claim.state = ClaimState.SENDING
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
            self._after_ask(claim, outcome, sent, in_doubt)
        if isinstance(outcome, Grant) and claim.owner is not None:
            self._wake()  # for its heartbeats, and to take it back if its lease is forgotten
        return outcome

    def _after_ask(
        self, claim: Claim, outcome: Grant | Wait | None, sent: float, in_doubt: bool
    ) -> None:
        now = self.system.monotonic()
        with self._lock:
            if in_doubt:
                claim.doubts.append((sent, now))
            if isinstance(outcome, Grant):
                claim.grant = outcome
                claim.granted_at = now
                claim.heard_at = sent - _age(outcome, claim.ttl)
                if claim.doubts and outcome.lease_id is None:
                    self._doubtful.append((claim.product_name, claim.doubts))
                    claim.doubts = []
                claim.state = ClaimState.OWED if claim.abandoned else ClaimState.HELD
            else:
                claim.state = ClaimState.OPEN
        if claim.abandoned:
            self.give_up(claim)

    def give_up(self, claim: Claim) -> None:
        """Nobody waits for `claim` any more: whatever it got, or may get yet, goes back in the background."""
        with self._lock:
            if claim.state is ClaimState.SENDING:
                claim.abandoned = True
                return
            if claim.state is ClaimState.OPEN and not claim.doubts:
                self._end(claim)
                ended = True
            elif claim.state in (ClaimState.OPEN, ClaimState.HELD, ClaimState.OWED):
                self._owe(claim)
                ended = False
            else:
                return
        if ended:
            self._close_record(claim)
        else:
            self._wake()

    def hand_over(self, claim: Claim) -> None:
        """What `claim` got belongs to the caller from now on (plain `acquire_appid`): nothing is kept here."""
        with self._lock:
            self._end(claim)
        self._close_record(claim)
        if self._doubtful:
            self._wake()

    # --- giving back

    def release(self, claim: Claim) -> Outcome:
        """Give `claim` back now, shielded: no signal, time limit or second thread stops it or does it twice.

        An interrupt that comes before a helper has it is the caller's to answer, by `give_up`.
        """
        try:
            return self._releasers.run_shielded(partial(self.settle, claim), self._release_bound)
        except TimeoutError:
            return Outcome.DEFERRED

    def begin_release(self, claim: Claim) -> Future[Outcome]:
        """The same for coroutines: a future that nothing cancels."""
        return self._releasers.submit(partial(self.settle, claim))

    def settle(self, claim: Claim) -> Outcome:
        """Try once to give `claim` back, on this thread; what can't be delivered is deferred."""
        with self._lock:
            if claim.pid != os.getpid() or claim.state not in (ClaimState.HELD, ClaimState.OWED):
                return Outcome.NOTHING
            first = claim.attempts == 0 and claim.state is ClaimState.HELD
            claim.state = ClaimState.SETTLING
        error: AppIdManagerError | None = None
        outcome = Outcome.DEFERRED
        try:
            reset = self.api.was_reset(claim.product_name, claim.granted_at)
            outcome = giveback.deliver(self.api, claim, look_first=reset or not first)
            if outcome is Outcome.NOT_HELD and (not first or claim.grant is None):
                # An earlier try arrived and its answer was lost, or there was nothing to give back.
                outcome = Outcome.RELEASED
        except AppIdManagerError as failed:
            error = failed
            if self._is_pointless(claim, failed):
                outcome = Outcome.NOTHING
        finally:
            self._after_settle(claim, outcome, error)
        self._report(claim, outcome, error)
        return outcome

    def _is_pointless(self, claim: Claim, error: AppIdManagerError) -> bool:
        """Whether to stop giving up an acquire, as what answers refuses the token, or never was a service of ours."""
        return (
            claim.grant is None
            and claim.record is None
            and not self.api.extended
            and isinstance(error, (AuthenticationError, ProtocolError))
        )

    def _after_settle(
        self, claim: Claim, outcome: Outcome, error: AppIdManagerError | None
    ) -> None:
        with self._lock:
            if outcome is Outcome.DEFERRED:
                claim.attempts += 1
                claim.last_error = str(error or "interrupted")
                claim.state = ClaimState.OWED
                self._owe(claim)
            else:
                self._end(claim)
        if outcome is Outcome.DEFERRED:
            self._wake()
        else:
            self._close_record(claim)

    def _report(self, claim: Claim, outcome: Outcome, error: AppIdManagerError | None) -> None:
        held = self.system.monotonic() - claim.granted_at if claim.grant else None
        if outcome is Outcome.RELEASED:
            logger.debug("released %s of %s", claim.appid, claim.product_name)
            self.emit(EventKind.RELEASED, claim, held)
        elif outcome is Outcome.NOTHING:
            logger.warning("the answer to an acquire of %s was lost: %s", claim.product_name, error)
        elif outcome is Outcome.NOT_HELD:
            self._lost(claim, "the service says that it was no longer ours when it was given back")
        elif claim.attempts == 1:
            logger.warning(
                "could not give back %s of %s yet, retrying in the background: %s",
                claim.appid or "an unanswered acquire",
                claim.product_name,
                error,
            )
            self.emit(EventKind.DEFERRED, claim)
        else:
            logger.debug(
                "still can't give back %s of %s: %s", claim.appid, claim.product_name, error
            )

    def forget(self, claim: Claim) -> None:
        """Give `claim` back because its lease was garbage-collected. Takes no lock: safe in a `__del__`."""
        self._forgotten.put(claim)
        self._worker.tell(None)

    def overdue(self, claim: Claim) -> bool:
        """Whether a whole `ttl` of `claim` went by unheard; if so it is lost from now on."""
        if not claim.beating or self.system.monotonic() < claim.overdue_at:
            return False
        if claim.pid != os.getpid():
            return False  # a forked child hears nothing of its parent's heartbeats
        self._lose([claim], "no heartbeat got through for a whole ttl", owe=True)
        return True

    @property
    def pending(self) -> tuple[PendingRelease, ...]:
        """What is owed and retried in the background."""
        now = self.system.monotonic()
        with self._lock:
            owed = [claim for claim in self._claims if claim.owed_since]
            return tuple(
                PendingRelease(
                    claim.product_name,
                    claim.appid,
                    now - claim.owed_since,
                    claim.attempts,
                    claim.last_error,
                )
                for claim in owed
            )

    # --- the background

    def _round(self, _woken: None) -> float | None:
        return self.tend()

    def tend(self) -> float | None:
        """Do all that is due; says in how many seconds there is more to do, or `None` if nothing is left."""
        self._take_back_forgotten()
        self._report_doubts()
        self._beat()
        self._retry_owed()
        return self._seconds_to_next()

    def _take_back_forgotten(self) -> None:
        while True:
            try:
                claim = self._forgotten.get_nowait()
            except queue.Empty:
                return
            self._owe_if_held(claim)

    def _beat(self) -> None:
        with self._lock:
            held = [
                claim for claim in self._claims if claim.state is ClaimState.HELD and claim.beating
            ]
        renewed, lost, sent = self._heart.beat(held)
        with self._lock:
            for claim in renewed:
                if claim.state is ClaimState.HELD:
                    claim.heard_at = max(claim.heard_at, sent)
        self._lose(lost, "the service says that the lease has ended", owe=False)
        now = self.system.monotonic()
        overdue = [claim for claim in held if now >= claim.overdue_at]
        self._lose(overdue, "no heartbeat got through for a whole ttl", owe=True)

    def _lose(self, claims: list[Claim], reason: str, *, owe: bool) -> None:
        """Mark held claims as lost. Unheard of, they may live on at the service: then they are given back too."""
        for claim in claims:
            with self._lock:
                if claim.state is not ClaimState.HELD:
                    continue  # a heartbeat in flight changes nothing about a claim that was given back
                if owe:
                    self._owe(claim)
                else:
                    self._end(claim)
            if not owe:
                self._close_record(claim)
            self._lost(claim, reason)

    def _lost(self, claim: Claim, reason: str) -> None:
        logger.warning("lost %s of %s: %s", claim.appid, claim.product_name, reason)
        self.emit(EventKind.LOST, claim, self.system.monotonic() - claim.granted_at)
        owner = claim.owner() if claim.owner is not None else None
        if owner is not None:
            owner.claim_lost(claim, reason)

    def _retry_owed(self) -> None:
        now = self.system.monotonic()
        with self._lock:
            due = [
                claim
                for claim in self._claims
                if claim.state is ClaimState.OWED and claim.next_try <= now
            ]
            for claim in due:
                claim.next_try = now + self._release_bound
        for claim in due:
            if self._threaded:
                # Aside: a service that hangs on releases must not keep the heartbeats waiting.
                self._releasers.submit(partial(self.settle, claim))
            else:
                self.settle(claim)

    def run_aside(self, callback: Callable[[], object], what: str) -> None:
        """Call a user's callback on a thread of its own, where it may take its time; what it raises is logged.

        Not a helper's: those are bounded, are needed for releases, and are waited for at the end of the process.
        """

        def run() -> None:
            try:
                callback()
            except Exception:
                logger.exception("%s failed", what)

        try:
            threading.Thread(target=run, name="appid-callback", daemon=True).start()
        except RuntimeError:
            logger.warning("%s was not called: no thread can be started any more", what)

    def _report_doubts(self) -> None:
        with self._lock:
            doubtful, self._doubtful = self._doubtful, []
        for product_name, doubts in doubtful:
            giveback.warn_of_candidates(self.api, product_name, doubts)

    def _seconds_to_next(self) -> float | None:
        now = self.system.monotonic()
        with self._lock:
            moments = [c.next_try for c in self._claims if c.state is ClaimState.OWED]
            held = [c for c in self._claims if c.state is ClaimState.HELD]
            if self._doubtful:
                return 0.0
        beat = self._heart.next_beat(held)
        if beat is not None:
            moments.append(beat)
        if moments:
            return max(0.0, min(moments) - now)
        return _LONGEST_BACKOFF if held else None

    def _wake(self) -> None:
        if self._threaded:
            self._worker.wake()

    # --- the end

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Give back all that is held or owed, here and now, within about `timeout` seconds; says whether all went.

        What can't be delivered stays in the journal, for others to find; without one, the log names it.
        """
        deadline = self.system.monotonic() + timeout
        rounds = 0
        pause = threading.Event()
        self._report_doubts()
        while True:
            self._take_back_forgotten()
            with self._lock:
                mine = [claim for claim in self._claims if claim.pid == os.getpid()]
            for claim in mine:
                if claim.state in (ClaimState.OPEN, ClaimState.SENDING):
                    self.give_up(claim)
            for number, claim in enumerate(mine):
                # One try there always is; but against a service that hangs, each takes as long as a call may.
                if (rounds or number) and self.system.monotonic() >= deadline:
                    break
                self.settle(claim)
            with self._lock:
                left = [claim for claim in mine if claim.state is not ClaimState.ENDED]
            rounds += 1
            if not left or self.system.monotonic() >= deadline:
                break
            self.system.wait(pause, min(backoff(self.system, rounds, 1.0), timeout))
        for claim in left:
            self._leave(claim)
        self._releasers.close()
        return not left

    def _leave(self, claim: Claim) -> None:
        with self._lock:
            if claim.state is ClaimState.ENDED:
                return
            self._end(claim)
        left = "it stays" if claim.appid else "what it got, if anything, stays"
        where = "in the journal" if claim.record is not None else "in use at the service"
        logger.error(
            "could not give back %s of %s before the end; %s %s (%s)",
            claim.appid or "an unanswered acquire",
            claim.product_name,
            left,
            where,
            claim.last_error,
        )
        self.emit(EventKind.LEFT, claim)
        if claim.record is not None:
            claim.record.leave()

    # --- transitions, under the lock

    def _owe(self, claim: Claim) -> None:
        now = self.system.monotonic()
        claim.state = ClaimState.OWED
        claim.owed_since = claim.owed_since or now
        self._claims.add(claim)  # again, if it was left at the end and its answer came after all
        if claim.attempts:
            claim.next_try = now + backoff(self.system, claim.attempts, _LONGEST_BACKOFF)

    def _end(self, claim: Claim) -> None:
        claim.state = ClaimState.ENDED
        claim.owed_since = 0.0
        self._claims.discard(claim)

    def _owe_if_held(self, claim: Claim) -> None:
        with self._lock:
            if claim.pid != os.getpid() or claim.state is not ClaimState.HELD:
                return
            self._owe(claim)
        self._wake()

    # --- small things

    @property
    def _release_bound(self) -> float:
        return 3 * self.api.timeout + 1.0

    @staticmethod
    def _close_record(claim: Claim) -> None:
        if claim.record is not None:
            claim.record.close()

    def emit(self, kind: EventKind, claim: Claim, seconds: float | None = None) -> None:
        """Tell the client's hook of an event."""
        events.emit(
            self._on_event, Event(kind, self.api.base_url, claim.product_name, claim.appid, seconds)
        )


def _age(grant: Grant, ttl: float | None) -> float:
    """How much of its `ttl` a grant had already used up when it was answered: a retried acquire gets the old one."""
    if ttl is None or grant.expires_at_ms is None or grant.server_time_ms is None:
        return 0.0
    return max(0.0, ttl - (grant.expires_at_ms - grant.server_time_ms) / 1000)


class _Abandoned(InvalidRequest):
    """An acquire was not even sent, as nobody waits for it."""

    def __init__(self) -> None:
        super().__init__("the acquire was given up before it was sent")


_keepers: weakref.WeakSet[LeaseKeeper] = weakref.WeakSet()


@atexit.register
def _give_back_everything() -> None:
    """At the end of the process: no new threads can be started then, so all is done here, within a bound."""
    for keeper in list(_keepers):
        keeper.close()
