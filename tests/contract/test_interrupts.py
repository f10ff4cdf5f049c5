"""An interrupt wherever one can strike the main thread, in turn: no AppID is lost by any."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import appid_manager_client
from appid_manager_client import AppIdClient
from appid_manager_client.runtime.time import SystemTime
from tests.support.interrupts import Interrupt, Striker
from tests.support.machine import HastyTime, TurnedSystem
from tests.support.services import AnyService, client_of, hasty_client
from tests.support.waiting import PATIENCE, wait_until

ROOT = str(Path(appid_manager_client.__file__).parent)


def _block(client: AppIdClient) -> None:
    with client.lease("p", ttl=None):
        pass


def _renewed(client: AppIdClient) -> None:
    with client.lease("p", ttl=None) as lease:
        lease.renew()


@pytest.fixture
def cheap_collections() -> Iterator[None]:
    """Each collection looks only at what the test itself made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore:a lease of:ResourceWarning")
@pytest.mark.usefixtures("cheap_collections")
@pytest.mark.parametrize("use", [_block, _renewed])
def test_wherever_an_interrupt_strikes_the_appid_is_given_back_and_nothing_stays_owed(
    any_service: AnyService, use: Callable[[AppIdClient], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    # A renewal waits for the next hour.
    turned = use is _renewed
    system: SystemTime = TurnedSystem(followers=(any_service.advance,)) if turned else HastyTime()
    with client_of(any_service, system=system) as client:
        for moment in range(1, 1000):
            any_service.init("p", {"a": 1, "b": 1})
            striker = Striker(moment, ROOT)
            try:
                with striker:
                    use(client)
            except Interrupt:
                pass
            if striker.where is None:
                break
            gc.collect()  # what the interrupt's traceback kept alive
            # Not by the end of the client, which gives back all: while it goes on.
            wait_until(lambda: client._keeper.idle and not any_service.in_use(), what=striker.where)
    assert moment > 50


def test_a_release_that_was_struck_goes_on_however_long_its_traceback_is_kept(
    any_service: AnyService,
) -> None:
    kept: list[Interrupt] = []
    with hasty_client(any_service) as client:
        # The first moment is before release() has begun.
        for moment in range(2, 1000):
            any_service.init("p", {"a": 1})
            lease = client.lease("p", ttl=None).acquire()
            striker = Striker(moment, ROOT)
            try:
                with striker:
                    lease.release()
            except Interrupt as interrupt:
                kept.append(interrupt)
            wait_until(lambda: not any_service.in_use(), what=striker.where or "released")
            if striker.where is None:
                break
    assert len(kept) > 5


def test_two_threads_and_an_interrupt_at_once_release_it_once(any_service: AnyService) -> None:
    struck = 0
    with hasty_client(any_service) as client:
        for moment in range(1, 40):
            any_service.init("p", {"a": 1})
            before = len(any_service.calls_of("release"))
            lease = client.lease("p", ttl=None).acquire()
            together = threading.Barrier(3)

            def release() -> None:
                together.wait(PATIENCE)
                lease.release()

            threads = [threading.Thread(target=release) for _ in range(2)]
            for thread in threads:
                thread.start()
            together.wait(PATIENCE)
            striker = Striker(moment, ROOT)
            try:
                with striker:
                    lease.release()
            except Interrupt:
                pass
            for thread in threads:
                thread.join(PATIENCE)
            wait_until(lambda: not any_service.in_use(), what=striker.where or "released")
            assert len(any_service.calls_of("release")) == before + 1
            struck += striker.where is not None
    # Where another thread was first there are few moments.
    assert struck >= 2
