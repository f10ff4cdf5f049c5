"""Releases what dead processes of this host held, as the journal says.

The journal decides who is dead. `lease/release.py` asks the service what is still held, and
releases that.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidRequest, unusable
from ..lease import release
from ..lease.claim import Claim, Outcome
from ..text import get_logger
from ..wire.api import ServiceApi
from ..wire.models import Grant
from .journal import Journal
from .record import JournalRecord

logger = get_logger()


@dataclass(frozen=True, slots=True)
class Reaped:
    """A lease that a dead process left in the journal, and that nobody holds any more.

    Attributes:
        product_name: the product.
        appid: the AppID; `None` if the process died before it had an answer to its acquire.
        holder: the name that the holder gave itself, or `None`.
        released: whether this call released it; `False` if the service says that it was not held
            any more.
    """

    __module__ = "appid_manager_client"

    product_name: str
    appid: str | None
    holder: str | None
    released: bool


def reap(journal: Journal | None, api: ServiceApi) -> tuple[Reaped, ...]:
    """Release what dead processes held at the service of `api`. See `AppIdClient.reap`."""
    if journal is None:
        raise unusable(
            "journal",
            "is not kept by this client: pass journal=, set APPID_MANAGER_JOURNAL, or call "
            "use_journal()",
            service=api.base_url,
        )
    reaped = []
    for entry in journal.orphaned(api.base_url):
        record = entry.record
        what = f"AppID {record.appid}" if record.appid else "the grant of an unanswered acquire"
        try:
            outcome = release.release_if_held(api, _claim_of(record))
        except InvalidRequest as error:
            # An entry that the service refuses must not keep the others from their release.
            logger.warning(
                "release of %s (product %s), which a dead process held, was refused: %s",
                what,
                record.product_name,
                error,
            )
            continue
        entry.done()
        released = outcome is Outcome.RELEASED
        reaped.append(Reaped(record.product_name, record.appid, record.holder, released))
        if released:
            logger.warning(
                "released %s (product %s), which a dead process held (holder: %s)",
                what,
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
