"""Giving back what the journal says that dead processes of this host held."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..errors import InvalidRequest
from ..lease import giveback
from ..lease.claim import Claim, Outcome
from ..wire.api import ServiceApi
from ..wire.models import Grant
from .journal import Journal, JournalRecord

logger = logging.getLogger("appid_manager_client")


@dataclass(frozen=True, slots=True)
class Reaped:
    """Something that a dead process left behind, and that nobody holds any more.

    Attributes:
        product_name: the product.
        appid: the AppID; `None` where the process died before it knew what it got.
        holder: who held it, as it had called itself.
        released: whether this call gave it back; `False` when the service says that it was no longer held.
    """

    __module__ = "appid_manager_client"

    product_name: str
    appid: str | None
    holder: str | None
    released: bool


def reap(journal: Journal, api: ServiceApi) -> tuple[Reaped, ...]:
    """Give back, at the service of `api`, what processes held whose locks are free. See `AppIdClient.reap`."""
    reaped = []
    for entry in journal.abandoned(api.base_url):
        record = entry.record
        try:
            outcome = giveback.release_if_held(api, _claim_of(record))
        except InvalidRequest as error:
            # What this service has against one entry must not keep it from the others.
            logger.warning(
                "could not give back %s of %s: %s", record.appid, record.product_name, error
            )
            continue
        entry.done()
        released = outcome is Outcome.RELEASED
        reaped.append(Reaped(record.product_name, record.appid, record.holder, released))
        if released:
            logger.warning(
                "gave back %s of %s, which a dead process held (%s)",
                record.appid or "what an unanswered acquire got",
                record.product_name,
                record.holder or "unnamed",
            )
    return tuple(reaped)


def _claim_of(record: JournalRecord) -> Claim:
    claim = Claim(record.product_name, holder=record.holder, request_id=record.request_id)
    if record.appid is not None and record.vid is not None and record.start_time is not None:
        claim.grant = Grant(
            record.appid, record.vid, record.product_name, record.start_time, record.lease_id
        )
    return claim
