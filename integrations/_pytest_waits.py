"""Shows what the tests of a run wait for: one line that counts down, or a line now and then.

Owns the words, the cadence, and the way to the terminal; a worker of pytest-xdist sends its lines
to the controlling process. When a wait begins and ends is said by others. Only the standard
library and pytest are imported before something waits.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from appid_manager_client.events import Event

CHANNEL = "appid_waits"
"""The entry of a worker's `workerinput` that holds its channel to the controlling process."""

SHOWN_AFTER = 5.0
"""A wait that is over within these seconds is not shown."""

_CLIENT_WITHIN = 1.0
"""Seconds in which a client of ours says what a test waits for. A pool says nothing of that."""

_MINUTE = 60.0

_waits: pytest.StashKey[Waits] = pytest.StashKey()


class Screen:
    """The terminal of a run, as far as this process can reach it.

    Without a terminal reporter (`-p no:terminal`), lines go to stderr.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._channel = getattr(config, "workerinput", {}).get(CHANNEL)
        self._rewriting = False

    @property
    def live(self) -> bool:
        """Whether a line can be written over again."""
        reporter = self._reporter
        # Not called: in pytest 8 it is a bool.
        return self._channel is None and reporter is not None and bool(reporter.isatty)

    def line(self, text: str) -> None:
        """Write one line, or have the controlling process write it."""
        if self._channel is not None:
            with contextlib.suppress(OSError):  # the controlling process is gone
                self._channel.send(text)
            return
        with self._uncaptured():
            reporter = self._reporter
            if reporter is not None:
                self._begin_line(reporter)
                reporter.write_line(text, yellow=True)
            elif sys.__stderr__ is not None:
                print(text, file=sys.__stderr__, flush=True)

    def rewrite(self, text: str) -> None:
        """Write over the line that was rewritten last. Cuts off what a line has no room for."""
        reporter = self._reporter
        if reporter is None:
            return
        with self._uncaptured():
            if not self._rewriting:
                self._begin_line(reporter)
            width = self._config.get_terminal_writer().fullwidth
            reporter.rewrite(text[: width - 1], erase=True, yellow=True)
            if not text:
                reporter.rewrite("")
            self._rewriting = bool(text)
            reporter.flush()

    def _begin_line(self, reporter: Any) -> None:
        reporter.ensure_newline()
        # With xdist the reporter doesn't know that the dots of the results stand in the line.
        if self._config.get_terminal_writer().width_of_current_line:
            reporter.write("\n")

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            return contextlib.nullcontext()
        disabled: contextlib.AbstractContextManager[None] = capture.global_and_fixture_disabled()
        return disabled


def open_channel(node: Any) -> None:
    """Give a worker of pytest-xdist, before it starts, a channel to this process's terminal."""
    screen = Screen(node.config)
    channel = node.gateway.newchannel()
    channel.setcallback(screen.line)
    node.workerinput[CHANNEL] = channel


@dataclass(slots=True)
class Wait:
    """A wait that goes on. Times are monotonic seconds, but for `available_at`."""

    test: str
    product: str
    began: float
    reason: str
    until: float | None
    """When the next try is, or an AppID can be free; `None`: not known."""
    available_at: float | None
    """The latter as seconds since the Unix epoch; `None`: not known."""
    ended_by_caller: bool
    """Whether its end will be said. Otherwise it counts as ended soon after `until`."""
    explained: bool
    """Whether the client has said what it waits for."""

    def pause(self, now: float) -> float:
        """The seconds until it is worth showing; not positive if it is now."""
        if self.until is None or self.until - now > SHOWN_AFTER:
            return 0.0 if self.explained else self.began + _CLIENT_WITHIN - now
        return self.began + SHOWN_AFTER - now

    @property
    def known(self) -> tuple[object, ...]:
        """What makes a new line necessary when it changes."""
        at = None if self.available_at is None else round(self.available_at)
        return self.test, self.product, self.reason, at

    def describe(self, now: float) -> str:
        """The line for a person. A narrow terminal cuts it off: what changes comes first."""
        from appid_manager_client.text import printable

        left = 0.0 if self.until is None else self.until - now
        what = f"an AppID of {self.product}"
        if left <= 0:
            text = f"waiting for {now - self.began:.0f} s now, for {what}"
        elif self.available_at is None:
            text = f"waiting for {what}, next try in {left:.0f} s"
        else:
            at = datetime.fromtimestamp(self.available_at)
            text = f"waiting {left:.0f} s, until {at:%H:%M:%S}, for {what}"
        return printable(f"{text}: {self.reason} ({self.test})")


class Cadence:
    """When a wait gets a line where lines can't be rewritten.

    At its start, when its reason or end changes, and once a minute; after ten minutes every ten.
    """

    def __init__(self) -> None:
        self._said: tuple[object, ...] | None = None
        self._next = 0.0

    def pause(self, wait: Wait, now: float) -> float:
        """The seconds until a line is due; not positive if one is due now."""
        return self._next - now if wait.known == self._said else 0.0

    def written(self, wait: Wait, now: float) -> None:
        """A line was written."""
        self._said = wait.known
        self._next = now + (_MINUTE if now - wait.began < 10 * _MINUTE else 10 * _MINUTE)


class Waits:
    """The wait of the tests in this process. A client takes it as its event hook.

    Only the latest wait is shown: tests run one after the other.
    """

    def __init__(self, screen: Screen) -> None:
        from appid_manager_client.runtime.time import SystemTime
        from appid_manager_client.runtime.worker import Worker

        self._screen = screen
        self._system = SystemTime()
        self._worker: Worker[None] = Worker(
            "appid-test-waits", self._show, self._system, idle=lambda: self._wait is None
        )
        # Guards the terminal as well: the thread must not write after the wait has ended.
        self._lock = threading.Lock()
        self._wait: Wait | None = None
        self._cadence = Cadence()
        self._live = False

    def __call__(self, event: Event) -> None:
        """Note the begin or the end of a wait of the client's."""
        from appid_manager_client.events import EventKind

        if event.kind is EventKind.WAITING:
            self._note(event.product_name, event.reason or "", event.seconds, event.available_at)
        elif event.kind in (EventKind.ACQUIRED, EventKind.EXHAUSTED):
            self._end(event.product_name)

    @contextlib.contextmanager
    def showing(
        self, product: str, reason: str, seconds: float | None, at: float | None
    ) -> Iterator[None]:
        """Show a wait for the length of the block, whatever the client says of it."""
        self._note(product, reason, seconds, at, ended_by_caller=True)
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Show nothing any more: the test's phase, or the run, has ended."""
        self._end(None)

    def _note(
        self,
        product: str,
        reason: str,
        seconds: float | None,
        at: float | None,
        ended_by_caller: bool = False,
    ) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0] or "this run"
        now = self._system.monotonic()
        until = None if seconds is None else now + seconds
        with self._lock:
            before, began, explained = self._wait, now, not ended_by_caller
            if before is not None and (before.test, before.product) == (test, product):
                began = before.began
                ended_by_caller = ended_by_caller or before.ended_by_caller
            self._wait = Wait(test, product, began, reason, until, at, ended_by_caller, explained)
        self._worker.wake()

    def _end(self, product: str | None) -> None:
        with self._lock:
            if self._wait is not None and product in (None, self._wait.product):
                self._forget()

    def _forget(self) -> None:
        self._wait, self._cadence = None, Cadence()
        if self._live:
            self._live = False
            self._screen.rewrite("")

    def _show(self, _: None) -> float | None:
        """Write what is due now. Returns the seconds until more is due."""
        with self._lock:
            wait = self._wait
            if wait is None:
                return None
            now = self._system.monotonic()
            if not wait.ended_by_caller and wait.until is not None:
                if now > wait.until + SHOWN_AFTER:  # it raised: no event tells of that
                    self._forget()
                    return None
            pause = wait.pause(now)
            if pause > 0:
                return pause
            if self._screen.live:
                self._live = True
                self._screen.rewrite(wait.describe(now))
                return 1.0
            if self._cadence.pause(wait, now) <= 0:
                self._screen.line(wait.describe(now))
                self._cadence.written(wait, now)
            return self._cadence.pause(wait, now)


def waits_of(config: pytest.Config) -> Waits:
    """The one object of this run in this process."""
    if _waits not in config.stash:
        config.stash[_waits] = Waits(Screen(config))
    return config.stash[_waits]


def end_waits(config: pytest.Config) -> None:
    """Show no wait any more, if one was shown at all."""
    waits = config.stash.get(_waits, None)
    if waits is not None:
        waits.end()
