"""Signing in and out: the form, links that sign in once, the cookie, and forms that came too late."""

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aiohttp import web

from dispatcher.api.auth import Auth
from dispatcher.api.types import Failure
from dispatcher.dashboard import form_body
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
from dispatcher.services.dashboard_sessions import (
    LASTS,
    Invitations,
    SignIn,
    SignIns,
    csrf,
)
from dispatcher.store.session import StatementTimeout, StoreUnavailable

COOKIE: Final = "dispatcher_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""Browsers take this name only over TLS and from this very host: neighbours cannot plant it."""
DEFAULT_ENVIRONMENT: Final = "env_default"
KEPT_BYTES: Final = 256 * 1024
"""A longer form is not kept over a sign-in: it travels to the browser and back twice."""
UNAVAILABLE: Final = "The database is not available. Try again in a moment."

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form that was sent when the browser was signed out: where to, and what was in it."""

    action: str
    fields: Fields

    def written(self) -> str:
        return json.dumps({"action": self.action, "fields": self.fields})

    @classmethod
    def read(cls, text: str) -> "KeptForm | None":
        """Return the form that `written` made a text of; None for any other text."""
        try:
            told = json.loads(text)
            action, fields = told["action"], [(str(n), str(v)) for n, v in told["fields"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if not isinstance(action, str) or not action.startswith("/e/") or not is_within(action):
            return None
        return cls(action, [(n, v) for n, v in fields if n != "csrf"])


class SigningIn:
    """The pages before one is signed in; `invite` makes a link that signs in once."""

    def __init__(self, renderer: Renderer, auth: Auth, sign_ins: SignIns) -> None:
        self._renderer = renderer
        self._auth = auth
        self._sign_ins = sign_ins
        self._invitations = Invitations()

    def invite(self, token: str) -> str:
        """Return the path of a link that signs in with the token, once, within ten minutes."""
        return f"/sign-in/{self._invitations.make(token)}"

    async def known(self, request: web.Request) -> SignIn | None:
        """Return who is signed in; None if the cookie is missing, unknown or too old."""
        cookie = request.cookies.get(_cookie_name(request))
        return await self._sign_ins.known(cookie, request.remote or "") if cookie else None

    async def remember(self, request: web.Request, environment_id: str) -> None:
        """Note the environment that `/` leads to next time. Nothing else depends on it."""
        await self._sign_ins.look_at(request.cookies[_cookie_name(request)], environment_id)

    async def form(self, request: web.Request) -> web.Response:
        return self._form(request, then=request.query.get("next", "/"))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Raises HTTPException for a body that is no form, and for another site's."""
        if is_of_other_site(request):
            raise web.HTTPForbidden(reason="Another site may not sign you in.")
        posted = await form_body.fields(request)
        token, then = posted.get("token", "").strip(), posted.get("next", "/")
        kept = KeptForm.read(posted.get("kept", ""))
        return await self._answered(request, token, then, kept)

    async def follow(self, request: web.Request) -> web.Response:
        token = self._invitations.take(request.match_info["code"])
        if token is None:
            said = "The link was used before, or is too old. Sign in with a token."
            return self._form(request, mistake=said, status=403)
        return await self._answered(request, token, "/", None)

    async def sign_out(self, request: web.Request) -> web.Response:
        await self._sign_ins.close(request.cookies[_cookie_name(request)])
        response = see_other("/sign-in")
        response.del_cookie(_cookie_name(request), path="/", secure=is_secure(request))
        return response

    async def too_late(self, request: web.Request) -> web.Response:
        """Return the way to the sign-in for who has no session any more. A form of ours that was
        sent is kept, to be shown and sent again afterwards."""
        if only_reads(request):
            path = request.rel_url.raw_path_qs[:500]
            return see_other(f"/sign-in?next={quote(path)}")
        kept = await self._kept(request)
        if kept is None:
            return see_other("/sign-in")
        said = "You were signed out. Sign in, and what you sent is shown to be sent again."
        return self._form(request, mistake=said, status=401, kept=kept)

    async def stale(self, request: web.Request, csrf_token: str) -> web.Response | None:
        """Return a page that offers a form of ours again which an earlier sign-in was shown; None
        if it may not be ours."""
        kept = await self._kept(request)
        if kept is None:
            return None
        return self._again(request, kept, csrf_token, status=403)

    async def _kept(self, request: web.Request) -> KeptForm | None:
        """Only of a page of ours: another site could otherwise have people send what it wrote."""
        if not is_surely_ours(request):
            return None
        fields = [(n, v) for n, v in (await form_body.fields(request)).items() if n != "csrf"]
        if sum(len(n) + len(v) for n, v in fields) > KEPT_BYTES:
            return None
        return KeptForm(request.rel_url.raw_path_qs, fields)

    async def _answered(
        self, request: web.Request, token: str, then: str, kept: KeptForm | None
    ) -> web.Response:
        """What can go wrong is said on the form, for the token to be typed again."""
        try:
            return await self._signed_in(request, token, then, kept)
        except Failure as failure:
            mistake, status = failure.title, failure.status
        except (StoreUnavailable, StatementTimeout):
            mistake, status = UNAVAILABLE, 503
        return self._form(request, mistake=mistake, status=status, then=then, kept=kept)

    async def _signed_in(
        self, request: web.Request, token: str, then: str, kept: KeptForm | None
    ) -> web.Response:
        principal = await self._auth.known(token, request.remote or "")
        cookie = await self._sign_ins.open(token, principal, DEFAULT_ENVIRONMENT)
        if kept is None:
            response = see_other(then if is_within(then) else "/")
        else:
            response = self._again(request, kept, csrf(cookie))
        response.set_cookie(
            _cookie_name(request),
            cookie,
            max_age=int(LASTS),
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
        mistake: str | None = None,
        status: int = 200,
        then: str = "/",
        kept: KeptForm | None = None,
    ) -> web.Response:
        return self._renderer.page(
            request,
            "sign_in.html",
            status=status,
            mistake=mistake,
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
