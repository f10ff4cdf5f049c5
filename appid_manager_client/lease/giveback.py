"""Giving claims back: at once, again in the background while the service is down, and at the end.

The calls themselves, and what their answers mean, stand in `release.py`. What is owed, and when it
is tried again, is decided in `ledger.py`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial

from ..errors import AppIdManagerError
from ..runtime.executor import Call, Executor
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from ..wire.retry import backoff
from . import release
from .claim import Claim, ClaimState, Outcome
from .ledger import Ledger
from .reports import Reports

_FIRST_TRY = 1.0
"""Seconds that a release has to be answered when a client is closed, even without a timeout."""


class GiveBack:
    """Gives back the claims of one client.

    Args:
        ledger: the claims; its lock is held only to ask it, never during a call.
        executor: the threads that the releases are sent from.
        reports: is told how each release went.
        wake: has `retry_due` called soon; called when something is owed.
    """

    def __init__(
        self,
        api: ServiceApi,
        system: SystemTime,
        ledger: Ledger,
        executor: Executor,
        reports: Reports,
        wake: Callable[[], None],
    ) -> None:
        self._api = api
        self._system = system
        self._ledger = ledger
        self._executor = executor
        self._reports = reports
        self._wake = wake

    def shielded(self, claim: Claim) -> Outcome:
        """Release `claim` now: no signal, time limit or second thread stops it.

        An interrupt that comes before the executor has it is the caller's to answer, by giving
        the claim up.
        """
        try:
            return self._executor.run_shielded(partial(self.try_once, claim), self._patience)
        except TimeoutError:
            return Outcome.DEFERRED

    def begin(self, claim: Claim) -> Call[Outcome]:
        """The same for coroutines: a call that nothing stops."""
        return self._executor.start(partial(self.try_once, claim))

    def try_once(self, claim: Claim) -> Outcome:
        """Try once to release `claim`, on this thread. What can't be delivered is deferred.

        Never raises, but for interrupts: whatever went wrong is reported, and tried again.
        """
        with self._ledger.lock:
            first = self._ledger.begin_release(claim)
        if first is None:
            return Outcome.NOTHING
        error: Exception | None = None
        outcome = Outcome.DEFERRED
        try:
            outcome = release.release_claim(self._api, claim, first=first)
        except Exception as failed:
            # A log that keeps the error must not keep the frames, and with them a lease, alive.
            error = failed.with_traceback(None)
            if release.is_pointless(self._api, claim, failed):
                outcome = Outcome.NOTHING
        finally:
            with self._ledger.lock:
                state = self._ledger.end_release(claim, outcome, error)
            self.follow(claim, state)
        if outcome is Outcome.NOT_HELD:
            self._reports.lost(
                claim, "the service says that it was no longer ours when it was given back"
            )
        else:
            self._reports.release(claim, outcome, error)
        return outcome

    def give_up(self, claim: Claim) -> None:
        """Nobody waits for `claim` any more: what it got, or may get yet, is owed."""
        with self._ledger.lock:
            state = self._ledger.give_up(claim)
        self.follow(claim, state)
        if claim.in_line and claim.state is ClaimState.SENDING:
            # The service may hold its request, and answers it then.
            self._executor.start(partial(self._leave_line, claim))

    def _leave_line(self, claim: Claim) -> None:
        """Give up the place of `claim`. What its request got meanwhile is given back with it.

        A failure is left to whoever gives the claim up when the answer to its request is there.
        """
        with contextlib.suppress(AppIdManagerError):
            self._api.abandon(claim.product_name, claim.request_id)
            with self._ledger.lock:
                self._ledger.left_line(claim)

    def follow(self, claim: Claim, state: ClaimState | None) -> None:
        """Do what the new state of a claim asks for; `None`: it has not changed."""
        if state is ClaimState.OWED:
            self._wake()
        elif state is ClaimState.ENDED and claim.record is not None:
            claim.record.close()

    # --- in the background

    def retry_due(self) -> None:
        """Send again the releases that are due."""
        with self._ledger.lock:
            due = self._ledger.take_due(self._patience)
        for claim in due:
            # On other threads: a service that hangs must not keep the heartbeats waiting.
            self.begin(claim)

    def report_unanswered(self) -> None:
        """Log which AppIDs a field service may have handed out in answers that never came."""
        with self._ledger.lock:
            unanswered = self._ledger.take_unanswered()
        for product_name, spans in unanswered:
            release.warn_of_candidates(self._api, product_name, spans)

    # --- at the end

    def everything(self, timeout: float) -> bool:
        """Give back all that is held or owed, within about `timeout` seconds.

        What can't be delivered is left. Returns whether everything was given back.
        """
        now = self._system.monotonic()
        deadline = now + timeout
        self.report_unanswered()
        # Each is tried once, even if there is no time, and has a moment to be answered.
        left = self._try_all(max(deadline, now + _FIRST_TRY))
        rounds = 1
        while left and self._system.monotonic() < deadline:
            pause = min(backoff(self._system, rounds, 1.0), timeout)
            self._system.wait(threading.Event(), pause)
            left = self._try_all(deadline)
            rounds += 1
        self.leave()
        self._executor.close(max(0.0, deadline - self._system.monotonic()))
        return not left

    def leave(self) -> None:
        """Try nothing more: what is owed stays in the journal; without one, the log names it."""
        with self._ledger.lock:
            claims = self._ledger.of_this_process()
        for claim in claims:
            with self._ledger.lock:
                state = self._ledger.leave(claim)
            if state is not None:
                self._reports.left(claim)
                if claim.record is not None:
                    claim.record.leave()

    def _try_all(self, deadline: float) -> list[Claim]:
        """Try once to release each claim, side by side. Returns those that are left.

        An interrupt stops none of the others; it is raised afterwards.
        """
        with self._ledger.lock:
            claims = self._ledger.of_this_process()
        for claim in claims:
            if claim.state in (ClaimState.OPEN, ClaimState.SENDING):
                self.give_up(claim)
        tries: list[Call[Outcome]] = []
        for claim in claims:
            # Where no thread can be started, each of them takes as long as a call may.
            if tries and self._system.monotonic() >= deadline:
                break
            tries.append(self.begin(claim))
        for call in tries:
            call.wait(deadline - self._system.monotonic())
        for call in tries:
            if call.error is not None and not isinstance(call.error, Exception):
                raise call.error
        with self._ledger.lock:
            return [claim for claim in claims if claim.state is not ClaimState.ENDED]

    @property
    def _patience(self) -> float:
        """Seconds after which a release is no longer waited for: one call takes no longer."""
        return 3 * self._api.timeout + 1.0
