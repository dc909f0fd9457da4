"""The dashboard's pages and files, added to the admin application."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from hmac import compare_digest
from importlib.resources import files
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from dispatcher import observe
from dispatcher.api import reading
from dispatcher.api.answers import Failure
from dispatcher.api.auth import Auth
from dispatcher.api.failures import REFUSALS, unavailable
from dispatcher.api.serving import share_of
from dispatcher.dashboard import wording
from dispatcher.dashboard.visit import HEADERS, Visit, see_other
from dispatcher.office import Office
from dispatcher.refusals import Refused, Unknown
from dispatcher.sign_ins import LASTS, Invitations, SignIns
from dispatcher.store.pool import Pool
from dispatcher.store.session import StatementTimeout, StoreUnavailable

COOKIE = "dispatcher_session"
DEFAULT_ENVIRONMENT = "env_default"
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

View = Callable[[Visit], Awaitable[web.StreamResponse]]
Page = tuple[str, str, View]
"""Method, path, and what answers."""


@dataclass(frozen=True, slots=True)
class Files:
    """The static files, each under a name that changes with its content."""

    content: dict[str, tuple[bytes, str]]
    names: dict[str, str]

    @classmethod
    def read(cls) -> "Files":
        content, names = {}, {}
        root = files("dispatcher.dashboard").joinpath("static")
        for folder in (root, root.joinpath("vendor")):
            for file in folder.iterdir():
                suffix = file.name[file.name.rfind(".") :]
                if file.is_file() and suffix in TYPES:
                    data = file.read_bytes()
                    named = f"{sha256(data).hexdigest()[:12]}-{file.name}"
                    content[named] = (data, TYPES[suffix])
                    names[file.name] = f"/static/{named}"
        return cls(content, names)

    async def serve(self, request: web.Request) -> web.Response:
        found = self.content.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        data, type_ = found
        headers = {**FOR_EVER, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=data, content_type=type_, charset="utf-8", headers=headers)


class Dashboard:
    """`add` puts it into an application; `invite` makes a link that signs in once."""

    def __init__(
        self,
        pool: Pool,
        office: Office,
        auth: Auth,
        bootstrap: bytes | None,
        *,
        authentication: Pool,
    ) -> None:
        self._pool = pool
        self._office = office
        self._auth = auth
        self._sign_ins = SignIns(authentication, bootstrap)
        self._invitations = Invitations()
        self._files = Files.read()
        self._templates = Environment(
            loader=PackageLoader("dispatcher.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(wording.FILTERS)
        self._templates.globals["static"] = self._files.names.__getitem__

    def add(self, app: web.Application, pages: Sequence[Page]) -> None:
        app.router.add_get("/static/{name}", self._files.serve)
        app.router.add_get("/sign-in", self._form)
        app.router.add_post("/sign-in", self._sign_in)
        app.router.add_get("/sign-in/{code}", self._follow, allow_head=False)
        # What looks at links before people follow them must not use up the invitation.
        app.router.add_head("/sign-in/{code}", self._form)
        app.router.add_post("/sign-out", self._sign_out)
        app.router.add_post("/environment", self._look_at)
        for method, path, view in pages:
            app.router.add_route(method, path, partial(self._visited, view=view))
            if method == "GET":
                app.router.add_route("HEAD", path, partial(self._visited, view=view))

    def invite(self, token: str) -> str:
        """The path of a link that signs in with the token, once, within ten minutes."""
        return f"/sign-in/{self._invitations.make(token)}"

    async def _visited(self, request: web.Request, view: View) -> web.StreamResponse:
        try:
            _refuse_nul(request.query)
            visit = await self._visit(request)
            if visit is None and "HX-Request" in request.headers:
                # A part of a page asks: the whole page is to be loaded anew, and finds the way.
                return web.Response(status=401, headers={**HEADERS, "HX-Refresh": "true"})
            if visit is None:
                return see_other(f"/sign-in?next={quote(request.rel_url.raw_path_qs[:500])}")
            if request.method not in ("GET", "HEAD") and not await self._ours(visit):
                return self._problem(request, 403, "The form is too old. Go back and try again.")
            return await view(visit)
        except Exception as error:  # noqa: BLE001 - there is nobody above who would say it on a page
            return self._broken(request, error)

    async def _visit(self, request: web.Request) -> Visit | None:
        cookie = request.cookies.get(COOKIE)
        signed_in = await self._sign_ins.known(cookie, request.remote or "") if cookie else None
        if signed_in is None:
            return None
        pool = self._pool.of(share_of(signed_in.principal, signed_in.environment_id))
        return Visit(request, signed_in, self._office, pool, self._templates)

    async def _ours(self, visit: Visit) -> bool:
        """Whether a form was sent from one of our pages."""
        posted = await _posted(visit.request)
        sent = posted.get("csrf") or visit.request.headers.get("X-CSRF-Token", "")
        if not isinstance(sent, str) or not sent.isascii():
            return False
        return compare_digest(sent, visit.signed_in.csrf)

    async def _form(self, request: web.Request) -> web.Response:
        return self._signing_in(request)

    async def _sign_in(self, request: web.Request) -> web.Response:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return self._problem(request, 403, "Another site may not sign you in.")
        try:
            posted = await _posted(request)
            token = str(posted.get("token", "")).strip()
            return await self._signed_in(request, token, str(posted.get("next", "/")))
        except web.HTTPException as error:
            return self._problem(request, error.status, error.reason)
        except Failure as failure:
            return self._signing_in(request, mistake=failure.title, status=failure.status)
        except (StoreUnavailable, StatementTimeout):
            return self._signing_in(request, mistake="The database is not available.", status=503)

    async def _follow(self, request: web.Request) -> web.Response:
        token = self._invitations.take(request.match_info["code"])
        if token is None:
            said = "The link was used before, or is too old. Sign in with a token."
            return self._signing_in(request, mistake=said, status=403)
        return await self._signed_in(request, token, "/")

    async def _signed_in(self, request: web.Request, token: str, then: str) -> web.Response:
        principal = await self._auth.known(token, request.remote or "")
        cookie = await self._sign_ins.open(token, principal, DEFAULT_ENVIRONMENT)
        response = see_other(then if _within(then) else "/")
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=int(LASTS),
            httponly=True,
            samesite="Strict",
            secure=_is_secure(request),
            path="/",
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        async def out(visit: Visit) -> web.Response:
            await self._sign_ins.close(visit.request.cookies[COOKIE])
            response = see_other("/sign-in")
            response.del_cookie(COOKIE, path="/")
            return response

        return await self._visited(request, out)

    async def _look_at(self, request: web.Request) -> web.StreamResponse:
        async def at(visit: Visit) -> web.Response:
            wanted = (await visit.fields()).get("environment", "")
            if visit.principal.environment_id not in (None, wanted):
                raise Unknown(f"There is no environment {wanted!r}.")
            await self._office.environments(self._pool, visit.actor).get(wanted)
            await self._sign_ins.look_at(visit.request.cookies[COOKIE], wanted)
            return see_other("/")

        return await self._visited(request, at)

    def _signing_in(
        self, request: web.Request, *, mistake: str | None = None, status: int = 200
    ) -> web.Response:
        text = self._templates.get_template("sign_in.html").render(
            mistake=mistake, then=request.query.get("next", "/")
        )
        return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)

    def _broken(self, request: web.Request, error: Exception) -> web.Response:
        match error:
            case Refused():
                return self._problem(request, REFUSALS[type(error)][0], str(error))
            case web.HTTPException():
                return self._problem(request, error.status, error.reason)
            case _ if title := unavailable(error):
                return self._problem(request, 503, title)
            case _:
                observe.request_broke(request.path, error)
                return self._problem(request, 500, "Something went wrong here; the log says what.")

    def _problem(self, request: web.Request, status: int, text: str) -> web.Response:
        """Errors are pages as well."""
        page = self._templates.get_template("problem.html").render(status=status, text=text)
        return web.Response(text=page, status=status, content_type="text/html", headers=HEADERS)


async def _posted(request: web.Request) -> Mapping[str, object]:
    """What a form brought, which can be asked for again; a 400 for what is none, 408 for too slow."""
    try:
        async with asyncio.timeout(reading.SECONDS):
            posted = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, LookupError):  # no boundary, an unknown charset, bytes that are not of it
        raise web.HTTPBadRequest from None
    _refuse_nul(posted)
    return posted


def _refuse_nul(given: Mapping[str, object]) -> None:
    """Nobody types one, and the database takes none."""
    if any("\0" in value for value in given.values() if isinstance(value, str)):
        raise web.HTTPBadRequest


def _within(path: str) -> bool:
    """Whether it stays on this site: browsers drop tabs and line ends, and read \\ as /."""
    return path.startswith("/") and path.isprintable() and path[1:2] not in ("/", "\\")


def _is_secure(request: web.Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy that says so: whoever lies about it only
    keeps their own cookie off plain connections."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
