"""The lines of the log that requests leave: grants, what operators do, and each request at all."""

from __future__ import annotations

import logging
from typing import Any

from starlette.types import Scope

from ..log import BoundedEvents, log_event
from ..operations import Granted, Initialized, Outcome, Paused, Refused, Released, Reserved
from .admission import peer_of, token_of, who_calls
from .answers import Reply
from .call import Call

_LONGEST_SHOWN = 200


def log_grant(grant: Granted, call: Call) -> None:
    """Log that an AppID was granted."""
    log_event(
        logging.DEBUG,
        "granted",
        "AppID %(appid)s of product %(product)s granted to %(who)s",
        appid=grant.appid,
        product=grant.product,
        lease=grant.lease_id,
        who=call.who,
        peer=call.peer,
        token=call.token,
    )


def log_refused_acquire(bounded: BoundedEvents, product: str, refused: Refused, call: Call) -> None:
    """Log that an acquire was refused; not that it has to wait, which is no refusal."""
    bounded.log(
        logging.INFO,
        "acquire_refused",
        "refused an acquire of product %(product)s to %(who)s: %(code)s",
        product=product,
        code=refused.code,
        who=call.who,
        peer=call.peer,
        token=call.token,
    )


def log_act(outcome: Outcome, call: Call) -> None:
    """Log what an operator did, if the outcome shows that it is done."""
    match outcome:
        case Initialized():
            _log(
                logging.WARNING if outcome.ended else logging.INFO,
                "init",
                "init of product %(product)s: %(added)d AppIDs added, %(removed)d removed, "
                "%(ended)d live leases ended",
                call,
                product=outcome.product,
                added=outcome.added,
                removed=outcome.removed,
                ended=outcome.ended,
            )
        case Released():
            _log(
                logging.WARNING,
                "forced_release",
                "AppID %(appid)s of product %(product)s was released by force",
                call,
                product=outcome.product,
                appid=outcome.appid,
            )
        case Reserved():
            _log(
                logging.INFO,
                "reserved" if outcome.reserved else "unreserved",
                "AppID %(appid)s of product %(product)s is "
                + ("reserved" if outcome.reserved else "taken back into use"),
                call,
                product=outcome.product,
                appid=outcome.appid,
            )
        case Paused():
            _log(
                logging.WARNING if outcome.paused else logging.INFO,
                "paused" if outcome.paused else "resumed",
                "product %(product)s is " + ("paused" if outcome.paused else "not paused any more"),
                call,
                product=outcome.product,
            )


def log_access(scope: Scope, reply: Reply, seconds: float) -> None:
    """Log one request that was answered. Its query is left out: that is what callers say."""
    log_event(
        logging.INFO,
        "access",
        "%(method)s %(path)s %(status)d, %(bytes)d bytes in %(ms).1f ms, for %(who)s",
        method=scope["method"],
        path=scope["path"][:_LONGEST_SHOWN],
        status=reply.status,
        bytes=len(reply.body),
        ms=round(seconds * 1000, 1),
        who=who_calls(scope),
        peer=peer_of(scope),
        token=token_of(scope),
    )


def _log(level: int, name: str, message: str, call: Call, **fields: Any) -> None:
    about = {**fields, "who": call.who, "peer": call.peer, "token": call.token}
    log_event(level, name, f"{message}, for %(who)s", **about)
