"""Who may see which page: sessions and roles, logins, and what a page says that can't be shown."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from ...operations import Refused, Unavailable
from ...settings import ServiceSettings
from ...tokens import Identity, Role, Tokens
from .. import answers, openapi
from ..admission import IDENTITY, Admission
from ..answers import Header, Reply
from ..call import Call
from ..calls import Calls
from ..requests import RequestRefused
from ..work import Work
from .acting import STATES, Acting
from .forms import Csrf, Login, read_form
from .looking import Looking, used_this_hour
from .rendering import STATIC, Renderer, redirect, static_file
from .sessions import COOKIE, LASTS, Session, Sessions, cookie_of

View = Callable[[Call, Session], Awaitable[Reply]]
Page = Callable[[Call], Awaitable[Reply]]


class Site:
    """The pages of one service.

    Args:
        work: reads the store.
        calls: carries out what operators ask for.
        admission: slows down and logs wrong tokens.
        tokens: who may log in.
        settings: of the service.
    """

    def __init__(
        self,
        work: Work,
        calls: Calls,
        admission: Admission,
        tokens: Tokens,
        settings: ServiceSettings,
    ) -> None:
        clock = work.store.clock
        zone = settings.timezone if settings.hour_seconds is None else "UTC"
        self._admission = admission
        self._tokens = tokens
        self._sessions = Sessions(work.store.session_key, tokens, clock)
        self._renderer = Renderer(zone, clock, states=STATES, used_this_hour=used_this_hour)
        self._looking = Looking(work, self._renderer)
        self._acting = Acting(calls, self._looking, self._renderer)
        self._secure = any(url.lower().startswith("https:") for url in settings.public_urls)

    def pages(self) -> dict[str, tuple[str, Page]]:
        """Each path with its method and its page; none asks for a token by itself."""
        looking, acting = self._looking, self._acting
        found: dict[str, tuple[str, Page]] = {
            "/": ("GET", self._guarded(looking.overview, Role.READ)),
            "/product": ("GET", self._guarded(looking.product, Role.READ)),
            "/history": ("GET", self._guarded(looking.history, Role.READ)),
            "/calls": ("GET", self._guarded(self._show_calls, Role.READ)),
            "/confirm": ("GET", self._guarded(acting.confirm, Role.ADMIN)),
            "/act": ("POST", self._guarded(acting.act, Role.ADMIN)),
            "/logout": ("POST", self._guarded(self._log_out, Role.READ)),
            "/login": ("GET", self._show_login),
            "/session": ("POST", self._log_in),
        }
        for name in STATIC:
            found[f"/{name}"] = ("GET", _file(name))
        return found

    def _guarded(self, view: View, role: Role) -> Page:
        async def page(call: Call) -> Reply:
            session = await self._session(call)
            if not isinstance(session, Session):
                return session
            call.identity = call.scope[IDENTITY] = session.identity
            if session.identity.role < role:
                self._admission.refuse_role(call.scope, session.identity, role)
                message = f"this needs a token of the role {role.word}"
                return await self._problem(Refused("forbidden", message), session)
            try:
                if call.scope["method"] == "POST":
                    _check_csrf(call, session)
                return await view(call, session)
            except RequestRefused as error:
                return await self._problem(error.refused, session)
            except Unavailable as error:
                reply = answers.unavailable(error)
                return await self._renderer.page(
                    "problem",
                    reply.status,
                    *reply.extra_headers,
                    session=session,
                    message=error.message,
                )

        return page

    async def _session(self, call: Call) -> Session | Reply:
        """Whose session it is, or where to log in."""
        if not self._tokens.required:
            return self._sessions.without_login()
        if self._admission.is_tried(call.scope):
            identity = await self._admission.admit(call.scope, Role.READ)
            if isinstance(identity, Identity):
                return self._sessions.without_login(identity)
            return identity
        cookie = cookie_of(call.scope["headers"])
        session = None if cookie is None else self._sessions.read(cookie)
        if session is not None:
            return session
        if call.scope["method"] == "POST":
            return await self._renderer.page(
                "login", 401, session=None, problem="The session is over."
            )
        return redirect("login")

    async def _show_login(self, _call: Call) -> Reply:
        if not self._tokens.required:
            return redirect("./")
        return await self._renderer.page("login", session=None, problem=None)

    async def _show_calls(self, _call: Call, session: Session) -> Reply:
        return await self._renderer.page("calls", session=session, document=openapi.document())

    async def _log_in(self, call: Call) -> Reply:
        try:
            sent = read_form(Login, call.body).token.strip()
        except RequestRefused:
            sent = ""
        identity = self._tokens.identify(sent.encode())
        if identity is None:
            self._admission.log_unknown(call.scope, "wrong" if sent else "missing")
            await self._admission.slow_down(call.scope)
            problem = "This is no token of this service."
            return await self._renderer.page("login", 401, session=None, problem=problem)
        return redirect("./", self._cookie(self._sessions.open(identity), LASTS))

    async def _log_out(self, _call: Call, _session: Session) -> Reply:
        return redirect("login", self._cookie("", 0))

    def _cookie(self, value: str, lasts: int) -> Header:
        parts = f"{COOKIE}={value}; Max-Age={lasts}; Path=/; HttpOnly; SameSite=Strict"
        return b"set-cookie", (parts + ("; Secure" if self._secure else "")).encode("ascii")

    async def _problem(self, refused: Refused, session: Session) -> Reply:
        status = answers.refusal(refused).status
        return await self._renderer.page(
            "problem", status, session=session, message=refused.message
        )


def _check_csrf(call: Call, session: Session) -> None:
    """Refuse a form that isn't of a page of this session."""
    sent = read_form(Csrf, call.body).csrf
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        message = "the page is too old, or of another session: go back, and load it again"
        raise RequestRefused(Refused("forbidden", message))


def _file(name: str) -> Page:
    async def page(_call: Call) -> Reply:
        return static_file(name)

    return page
