"""How operators step in from the page: asked, confirmed, carried out, and noted in the history."""

from __future__ import annotations

from urllib.parse import urlencode

from ...operations import AppIdState, By, Operation, Pause, Refused, Release, Reserve
from ..answers import Reply
from ..call import Call
from ..calls import Calls
from ..requests import RequestRefused
from .forms import Asked, read_form
from .looking import Looking
from .rendering import Renderer, redirect
from .sessions import Session

_NEED_A_NOTE = ("release", "reserve")

STATES: dict[AppIdState, str] = {
    "available": "free",
    "in_use": "in use",
    "used_in_current_hour": "used this hour",
    "reserved": "reserved",
}
"""What an AppID is doing, in words."""


class Acting:
    """The pages that change something.

    Args:
        calls: carries out what is asked.
        looking: tells what an AppID is doing, if it can't be.
        renderer: makes the pages.
    """

    def __init__(self, calls: Calls, looking: Looking, renderer: Renderer) -> None:
        self._calls = calls
        self._looking = looking
        self._renderer = renderer

    async def confirm(self, call: Call, session: Session) -> Reply:
        """Ask whether it is meant, and why."""
        asked = read_form(Asked, call.query)
        return await self._renderer.page(
            "confirm", session=session, asked=asked, needs_note=asked.act in _NEED_A_NOTE
        )

    async def act(self, call: Call, session: Session) -> Reply:
        """Carry out what was confirmed."""
        asked = read_form(Asked, call.body)
        if asked.act in _NEED_A_NOTE and not asked.note.strip():
            raise RequestRefused(Refused("invalid_request", "note: say why", "note"))
        outcome = await self._calls.act(_operation(asked, session.identity.name), call)
        if isinstance(outcome, Refused):
            raise RequestRefused(await self._with_state(outcome, asked))
        return redirect("product?" + urlencode({"name": asked.product, "done": asked.act}))

    async def _with_state(self, refused: Refused, asked: Asked) -> Refused:
        """The refusal, and what the AppID is doing now."""
        now = await self._looking.find(asked.product, asked.appid) if asked.appid else None
        if now is None:
            return refused
        state = STATES[now.state] + (f", held by {now.holder}" if now.holder else "")
        return Refused(refused.code, f"{refused.message}. It is {state} now.", refused.field)


def _operation(asked: Asked, token: str | None) -> Operation:
    by = By(token, asked.by.strip() or None, asked.note.strip() or None)
    match asked.act:
        case "release":
            return Release(asked.product, asked.appid, asked.lease, None, by, True)
        case "reserve" | "free":
            reserved = asked.act == "reserve"
            return Reserve(asked.product, asked.appid, reserved, by, asked.state)
    return Pause(asked.product, asked.act == "pause", by)
