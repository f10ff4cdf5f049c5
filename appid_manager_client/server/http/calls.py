"""The calls of the wire contract: what each one asks of the store, and what it answers.

What a body holds is read in `requests`, how an answer looks stands in `answers` and `listings`.
"""

from __future__ import annotations

import asyncio
import logging

from ..log import BoundedEvents, logger
from ..operations import Doubt, Extended, Granted, Operation, Outcome, Refused, Release
from ..store.batching import Void
from ..tokens import Role
from . import answers, events, listings, metrics, openapi, requests
from .admission import Admission
from .answers import Reply
from .call import Call
from .work import Work


class Calls:
    """The handlers of the calls."""

    def __init__(self, work: Work, admission: Admission, bounded: BoundedEvents) -> None:
        self._work = work
        self._bounded = bounded
        self._admission = admission
        self._store = work.store

    async def acquire(self, call: Call) -> Reply:
        """Grant an AppID, or say when to ask again; held for who waits in line."""
        operation, wait_ms = requests.parse_acquire(call.body, call.token)
        is_gone = call.caller.is_gone
        try:
            if wait_ms is not None:
                outcome = await self._work.holding.acquire(operation, wait_ms, call.caller)
            elif operation.request_id is not None:
                outcome = await self._work.submit(operation)
            else:
                # Nobody could ask for this grant again.
                outcome = await self._work.submit(operation, is_gone)
                if isinstance(outcome, Granted) and is_gone():
                    await self._work.submit(
                        Release(outcome.product, outcome.appid, outcome.lease_id)
                    )
                    return answers.caller_gone()
        except Void:
            return answers.caller_gone()
        if isinstance(outcome, Granted) and operation.ttl_ms is None and is_gone():
            # It can ask for this grant again, and nothing would end it if it never does.
            doubted = await self._work.submit(Doubt(outcome.lease_id))
            if isinstance(doubted, Extended):
                outcome.expires = doubted.expires[outcome.lease_id]
        self._work.metrics.note(outcome)
        if isinstance(outcome, Granted) and logger.isEnabledFor(logging.DEBUG):
            events.log_grant(outcome, call)
        elif isinstance(outcome, Refused):
            events.log_refused_acquire(self._bounded, operation.product, outcome, call)
        return answers.outcome(outcome)

    async def release(self, call: Call) -> Reply:
        """Take an AppID back; give up a request, or a place in line."""
        operation = requests.parse_release(call.body, call.token)
        is_forced = isinstance(operation, Release) and operation.forced
        if is_forced and call.identity.role < Role.ADMIN:
            return self._admission.refuse_role(call.scope, call.identity, Role.ADMIN)
        if is_forced:
            return answers.outcome(await self.act(operation, call))
        return await self._carry_out(operation)

    async def init(self, call: Call) -> Reply:
        """Set the AppIDs of a product."""
        # In a thread: a large body takes long to parse, and other requests are waiting.
        operation = await asyncio.to_thread(requests.parse_init, call.body, call.token)
        return answers.outcome(await self.act(operation, call))

    async def heartbeat(self, call: Call) -> Reply:
        """Extend leases."""
        return await self._carry_out(requests.parse_heartbeat(call.body, self._store.clock()))

    async def status(self, call: Call) -> Reply:
        """Count AppIDs, and list them."""
        query = requests.parse_status(call.query)
        return await self._work.read(lambda: listings.status(self._store.status(query)))

    async def products(self, _call: Call) -> Reply:
        """Count the AppIDs of each product."""
        return await self._work.read(lambda: listings.products(self._store.products()))

    async def line(self, call: Call) -> Reply:
        """List who waits."""
        query = requests.parse_line(call.query)
        return await self._work.read(lambda: listings.line(self._store.line(query)))

    async def show_metrics(self, _call: Call) -> Reply:
        """Tell Prometheus all figures."""
        products, rows = await self._work.read(
            lambda: (self._store.products(), self._store.history_rows())
        )
        text = self._work.metrics.exposition(products, rows)
        return Reply(text, content_type=metrics.CONTENT_TYPE)

    async def reserve(self, call: Call) -> Reply:
        """Take an AppID out of use, or back into use."""
        operation = requests.parse_reserve(call.body, call.token)
        return answers.outcome(await self.act(operation, call))

    async def pause(self, call: Call) -> Reply:
        """Stop the grants of a product, or let them go on."""
        operation = requests.parse_pause(call.body, call.token)
        return answers.outcome(await self.act(operation, call))

    async def act(self, operation: Operation, call: Call) -> Outcome:
        """Carry out what an operator asks for, and log it."""
        outcome = await self._work.submit_noted(operation)
        events.log_act(outcome, call)
        return outcome

    async def history(self, call: Call) -> Reply:
        """List leases and acts; who may only read sees no id of a lease."""
        query = requests.parse_history(call.query)
        found = await self._work.read(lambda: self._store.history(query))
        return listings.history(found, with_ids=call.identity.role >= Role.USE)

    async def describe(self, _call: Call) -> Reply:
        """Describe all calls."""
        return openapi.description()

    async def live(self, _call: Call) -> Reply:
        """Say that the process serves."""
        return answers.live()

    async def health(self, _call: Call) -> Reply:
        """Say whether the service can work, and what time it is here."""
        now = self._store.clock()
        return answers.health(now, self._store.hours.at(now), self._work.condition.fault())

    async def ready(self, _call: Call) -> Reply:
        """Say whether a write would be taken now."""
        return answers.ready(await self._work.condition.fresh_fault())

    async def _carry_out(self, operation: Operation) -> Reply:
        return answers.outcome(await self._work.submit_noted(operation))
