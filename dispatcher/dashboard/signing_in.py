"""Sign-in and sign-out: the form, one-time login links, the cookie, and forms sent after expiry."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import quote

from aiohttp import web

from dispatcher.api.auth import Auth
from dispatcher.api.types import HttpError
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT
from dispatcher.dashboard import form_body, secret_fields
from dispatcher.dashboard.protection import (
    is_of_other_site,
    is_secure,
    is_surely_ours,
    is_within,
    masked,
    only_reads,
)
from dispatcher.dashboard.rendering import Renderer
from dispatcher.dashboard.request import see_other
from dispatcher.services.access.dashboard_sessions import (
    SESSION_SECONDS,
    DashboardSession,
    DashboardSessions,
    LoginLinks,
    csrf,
)
from dispatcher.shared_slots import BusyError, SharedSlots
from dispatcher.store.errors import StatementTimeoutError, StoreError

COOKIE: Final = "dispatcher_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""Browsers accept a cookie with this prefix only over TLS and from this exact host. Otherwise a
site on a sibling host name could set it."""
KEPT_FORM_LIMIT_CHARACTERS: Final = 256 * 1024
"""A larger form is dropped at a sign-in, because it travels to the browser and back twice."""
SMALL_FORM_LIMIT_BYTES: Final = 8 * 1024
LARGE_FORMS_LIMIT: Final = 16
"""Large forms of clients without a session that are read at a time."""
LARGE_FORMS_OF_ONE_LIMIT: Final = 4
"""Large forms of one address that are read at a time, and that wait. Otherwise a slow client could
keep all others out."""
LARGE_FORMS_WAITING_LIMIT: Final = 32
LARGE_FORM_WAIT_SECONDS: Final = 2.0
"""How many large forms wait while LARGE_FORMS_LIMIT others are read, and for how long at most.
Addresses take turns."""
UNAVAILABLE: Final = "The database is not available. Try again in a moment."
USED_LINK: Final = "The link was used before, or has expired. Sign in with a token."
SIGNED_OUT: Final = "You were signed out. Sign in, and send the form again on the next page."


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form that was submitted without a valid session: its address and its fields.

    It has no secrets and no CSRF token. `left_out` names the fields that lack a secret.
    """

    action: str
    fields: secret_fields.Fields
    left_out: tuple[str, ...]

    @classmethod
    def of(
        cls, action: str, fields: Iterable[tuple[str, str]], left_out: Iterable[str] = ()
    ) -> "KeptForm":
        """Return a form that was submitted. `left_out` names what it lacked before."""
        kept, lacking = secret_fields.without_secrets((n, v) for n, v in fields if n != "csrf")
        return cls(action, kept, tuple(dict.fromkeys((*left_out, *lacking))))

    def written(self) -> str:
        """Return the form as a text, for a hidden field of the sign-in form."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "KeptForm | None":
        """Return the form in a text that `written` made, None for any other text."""
        try:
            form = json.loads(text)
            action, fields = form["action"], [(str(n), str(v)) for n, v in form["fields"]]
            left_out = [str(name) for name in form.get("left_out", ())]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if not isinstance(action, str) or not action.startswith("/e/") or not is_within(action):
            return None
        return cls.of(action, fields, left_out)


class SignInPages:
    """The pages for users who are not signed in. `login_link` makes a one-time login link."""

    def __init__(self, renderer: Renderer, auth: Auth, sign_ins: DashboardSessions) -> None:
        self._renderer = renderer
        self._auth = auth
        self._sign_ins = sign_ins
        self._login_links = LoginLinks()
        self._large_forms = SharedSlots(
            LARGE_FORMS_LIMIT,
            slots_of_one=LARGE_FORMS_OF_ONE_LIMIT,
            waiting=LARGE_FORMS_WAITING_LIMIT,
            waiting_of_one=LARGE_FORMS_OF_ONE_LIMIT,
            wait_seconds=LARGE_FORM_WAIT_SECONDS,
        )

    def login_link(self, token: str) -> str:
        """Return the path of a link that signs in with the token once, within ten minutes."""
        return f"/sign-in/{self._login_links.make(token)}"

    async def find_session(self, request: web.Request) -> DashboardSession | None:
        """Return the session of a request.

        Return None if the cookie is absent, unknown or expired.
        """
        cookie = request.cookies.get(_cookie_name(request))
        return await self._sign_ins.find(cookie, request.remote or "") if cookie else None

    def recall_session(self, request: web.Request) -> DashboardSession | None:
        """Return the session of a request as it was known last, without the database."""
        cookie = request.cookies.get(_cookie_name(request))
        return self._sign_ins.recall(cookie) if cookie else None

    async def remember(self, request: web.Request, environment_id: str) -> None:
        """Store the environment that `/` opens next time. Nothing else depends on it."""
        await self._sign_ins.look_at(request.cookies[_cookie_name(request)], environment_id)

    async def form(self, request: web.Request) -> web.Response:
        """Show the sign-in form."""
        return self._form(request, then=request.query.get("next", "/"))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Process the sign-in form. Raise HTTPException if it is malformed or from another site."""
        if is_of_other_site(request):
            raise web.HTTPForbidden(reason="Another site may not sign you in.")
        posted = await self._fields(request)
        token, then = posted.get("token", "").strip(), posted.get("next", "/")
        kept = KeptForm.read(posted.get("kept", ""))
        return await self._sign_in(request, token, then, kept)

    async def follow(self, request: web.Request) -> web.Response:
        """Sign in by a one-time login link, or show the form if the link is no longer valid."""
        token = self._login_links.take(request.match_info["code"])
        if token is None:
            return self._form(request, error=USED_LINK, status=403)
        return await self._sign_in(request, token, "/", None)

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session, and delete its cookie."""
        await self._sign_ins.close(request.cookies[_cookie_name(request)])
        response = see_other("/sign-in")
        response.del_cookie(_cookie_name(request), path="/", secure=is_secure(request))
        return response

    async def sign_in_first(self, request: web.Request) -> web.Response:
        """Return the sign-in page, or a redirect to it, for a browser without a valid session.

        A form that one of our pages sent is kept, without its secrets, and shown again after the
        sign-in.
        """
        if only_reads(request):
            path = request.rel_url.raw_path_qs[:500]
            return see_other(f"/sign-in?next={quote(path)}")
        kept = await self._keep_form(request)
        if kept is None:
            return see_other("/sign-in")
        return self._form(request, error=SIGNED_OUT, status=401, kept=kept)

    async def offer_resend(self, request: web.Request, csrf_token: str) -> web.Response | None:
        """Return a page that offers to resend a form which an earlier session had shown.

        Return None if the form may come from another site.
        """
        kept = await self._keep_form(request)
        if kept is None:
            return None
        return self._again(request, kept, csrf_token, status=403)

    async def _keep_form(self, request: web.Request) -> KeptForm | None:
        """Return the submitted form if a page of this site sent it and it is not too long.

        Otherwise another site could make a user submit a form that it wrote.
        """
        if not is_surely_ours(request):
            return None
        kept = KeptForm.of(request.rel_url.raw_path_qs, (await self._fields(request)).items())
        if sum(len(n) + len(v) for n, v in kept.fields) > KEPT_FORM_LIMIT_CHARACTERS:
            return None
        return kept

    async def _fields(self, request: web.Request) -> form_body.Fields:
        """Return the fields of a form from a client that has not signed in.

        Only LARGE_FORMS_LIMIT large ones are in memory at a time, LARGE_FORMS_OF_ONE_LIMIT of them
        from one address. Raise HTTPServiceUnavailable if none ends in time. A small form, such as
        one with just a token, never waits for them.
        """
        length = request.content_length
        if length is not None and length <= SMALL_FORM_LIMIT_BYTES:
            return await form_body.fields(request)
        try:
            async with self._large_forms.hold(request.remote or ""):
                return await form_body.fields(request)
        except BusyError:
            raise web.HTTPServiceUnavailable(
                reason="Too many large forms at one time. Try again in a moment.",
                headers={"Retry-After": "1"},
            ) from None

    async def _sign_in(
        self, request: web.Request, token: str, then: str, kept: KeptForm | None
    ) -> web.Response:
        """Sign in, or return the form with the reason why that failed."""
        try:
            return await self._open_session(request, token, then, kept)
        except HttpError as failure:
            error, status = failure.details[0].text, failure.status
        except (StoreError, StatementTimeoutError):
            error, status = UNAVAILABLE, 503
        return self._form(request, error=error, status=status, then=then, kept=kept)

    async def _open_session(
        self, request: web.Request, token: str, then: str, kept: KeptForm | None
    ) -> web.Response:
        """Check the token, open a session and set its cookie.

        Return a redirect, or the kept form. Raise an HttpError if the token is refused.
        """
        principal = await self._auth.authenticate(token, request.remote or "")
        cookie = await self._sign_ins.open(token, principal, DEFAULT_ENVIRONMENT)
        if kept is None:
            response = see_other(then if is_within(then) else "/")
        else:
            response = self._again(request, kept, csrf(cookie))
        response.set_cookie(
            _cookie_name(request),
            cookie,
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="Strict",
            secure=is_secure(request),
            path="/",
        )
        return response

    def _form(
        self,
        request: web.Request,
        *,
        error: str | None = None,
        status: int = 200,
        then: str = "/",
        kept: KeptForm | None = None,
    ) -> web.Response:
        return self._renderer.page(
            request,
            "sign_in.html",
            status=status,
            error=error,
            then=then,
            kept=kept.written() if kept else None,
        )

    def _again(
        self, request: web.Request, kept: KeptForm, csrf_token: str, *, status: int = 200
    ) -> web.Response:
        return self._renderer.page(
            request, "send_again.html", status=status, kept=kept, csrf=masked(csrf_token)
        )


def _cookie_name(request: web.Request) -> str:
    return SECURE_COOKIE if is_secure(request) else COOKIE
