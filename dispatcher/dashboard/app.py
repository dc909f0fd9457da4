"""The dashboard: it adds its pages and static files to the admin application."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from aiohttp import web

from dispatcher.api.auth import Auth
from dispatcher.api.requests.request_values import fairness_key_of, request_id
from dispatcher.core.environment_ids import is_environment_id
from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard import addresses, form_body
from dispatcher.dashboard.error_pages import ErrorPage, error_page_of
from dispatcher.dashboard.protection import HEADERS, is_masked, only_reads
from dispatcher.dashboard.rendering import Renderer, open_package
from dispatcher.dashboard.request import DashboardRequest, environment_words, see_other
from dispatcher.dashboard.signing_in import SignInPages
from dispatcher.services.access.dashboard_sessions import DashboardSession, DashboardSessions
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.history import History
from dispatcher.services.pauses import EnvironmentPauses
from dispatcher.services.public_ids import no_environment
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.store.pool import Pool

View = Callable[[DashboardRequest], Awaitable[web.StreamResponse]]
Page = tuple[str, str, View]
"""A page: its method, its name in `addresses.PATHS`, and its view."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Inner = Callable[[web.Request, DashboardSession], Awaitable[web.StreamResponse]]

IDS: Final = ("delivery_id", "event_id", "webhook_id")
"""The path parameters that identify an item, and so the one environment that it belongs to."""


_PAGE: Final = web.RequestKey("page", DashboardRequest)


class Dashboard:
    """The dashboard. `add` adds it to an application; `login_link` makes a one-time login link.

    `title` is the name that its pages show.
    """

    def __init__(
        self,
        pool: Pool,
        settings: ServiceSettings,
        auth: Auth,
        root_token: bytes | None,
        *,
        authentication: Pool,
        title: str,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._files, templates = open_package()
        self._renderer = Renderer(templates, title)
        self._signing_in = SignInPages(
            self._renderer, auth, DashboardSessions(authentication, root_token)
        )
        self.login_link = self._signing_in.login_link

    def add(self, app: web.Application, pages: Sequence[Page]) -> None:
        """Add all routes to an application.

        Only this method places a page below its environment.
        """
        router, signing_in = app.router, self._signing_in
        router.add_get("/static/{name}", self._files.serve)
        router.add_get("/sign-in", self._guarded(signing_in.form))
        router.add_post("/sign-in", self._guarded(signing_in.sign_in))
        follow = self._guarded(signing_in.follow)
        router.add_get("/sign-in/{code}", follow, allow_head=False)
        # Link previews send HEAD before a person opens the link. They must not use up the one-time
        # link.
        router.add_head("/sign-in/{code}", self._guarded(signing_in.form))
        router.add_post("/sign-out", self._inside(self._sign_out))
        router.add_post(
            "/environment", self._inside(partial(self._redirect_old_address, name="overview"))
        )
        router.add_get("/", self._inside(self._home))
        router.add_get("/e/{environment}", self._inside(self._home))
        for method, name, view in pages:
            inside = self._inside(partial(self._page, name=name, view=view))
            old = self._inside(partial(self._redirect_old_address, name=name))
            for verb in ("GET", "HEAD") if method == "GET" else (method,):
                router.add_route(verb, addresses.route(name), inside)
                if name != "overview":
                    router.add_route(verb, addresses.PATHS[name], old)
        nowhere = self._inside(partial(self._page, name="overview", view=_nowhere))
        router.add_get("/e/{environment}/{path:.+}", nowhere)

    def _guarded(self, handler: Handler) -> Handler:
        """Return a handler that shows every error as a page.

        Otherwise the API's middleware would answer it in JSON.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                form_body.refuse_nul(request.query)
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - else the API's middleware answers in JSON
                return self._show(request, error_page_of(request, error))

        return answer

    def _inside(self, handler: Inner) -> Handler:
        """Return a handler for signed-in users that sends everyone else to the sign-in page."""

        async def answer(request: web.Request) -> web.StreamResponse:
            session = await self._signing_in.find_session(request)
            if session is not None:
                return await handler(request, session)
            if "HX-Request" in request.headers:
                # A script of an open page asks. At this status it says that the session has
                # ended, and the page keeps what was typed into it.
                return web.Response(status=401, headers=HEADERS)
            return await self._signing_in.sign_in_first(request)

        return self._guarded(answer)

    # ── a page of an environment ─────────────────────────────────────────────────────────────────

    async def _page(
        self, request: web.Request, session: DashboardSession, *, name: str, view: View
    ) -> web.StreamResponse:
        """Check the CSRF token of a form, and call the view.

        If the item belongs to another environment, return the response of `_elsewhere`.
        """
        environment_id = request.match_info["environment"]
        if not only_reads(request):
            refused = await self._check_form(request, session, environment_id)
            if refused is not None:
                return refused
        page_request = request[_PAGE] = await self._page_request(request, session, name)
        if only_reads(request) and "HX-Request" not in request.headers:
            await self._remember(request, session, environment_id)
        try:
            return await view(page_request)
        except NotFoundError:
            elsewhere = await self._elsewhere(page_request)
            if elsewhere is None:
                raise
            return elsewhere

    async def _check_form(
        self, request: web.Request, session: DashboardSession, environment_id: str
    ) -> web.StreamResponse | None:
        """Return an error page if a form must not be processed, None if it may be.

        A form needs the CSRF token of this session, and must name the environment in its address.
        Otherwise a page left open in another tab could change the wrong environment.
        """
        posted = await form_body.fields(request)
        if not is_masked(posted.get("csrf", ""), session.csrf):
            again = await self._signing_in.offer_resend(request, session.csrf)
            text = (
                "The form has expired, or comes from another site. Go back, reload the page and"
                " send it again."
            )
            return again or self._show(request, ErrorPage(403, text))
        meant = posted.get("environment")
        if meant == environment_id:
            return None
        if meant is None:
            text = (
                "The form does not say which environment it belongs to, so nothing was done. Reload"
                " the page and send it again."
            )
        else:
            text = (
                f"This page belongs to {meant[:64]}, and its form was sent to"
                f" {environment_id[:64]}. Nothing was done. Reload the page and send it again."
            )
        return self._show(request, ErrorPage(409, text))

    async def _page_request(
        self, request: web.Request, session: DashboardSession, name: str
    ) -> DashboardRequest:
        """Return the request with its session and environment.

        Raise NotFoundError if the environment does not exist or the token may not use it.
        """
        environment_id = request.match_info["environment"]
        bound = session.principal.environment_id
        if not is_environment_id(environment_id) or bound not in (None, environment_id):
            raise no_environment(environment_id)
        bare = self._bare_request(request, session, environment_id, name)
        environment = await bare.services.pauses.of_environment(environment_id)
        return replace(bare, environment=environment)

    def _bare_request(
        self, request: web.Request, session: DashboardSession, environment_id: str, name: str
    ) -> DashboardRequest:
        """Return the request without what the database knows of the environment."""
        pool = self._pool.of(fairness_key_of(session.principal, environment_id))
        token_id = session.principal.token_id
        actor = Actor(f"token:{token_id}", request_id(request), request.remote, "dashboard")
        services = Services(pool, actor, self._settings)
        environment = EnvironmentPauses(environment_id, environment_id, None, None)
        return DashboardRequest(request, name, session, environment, services, pool, self._renderer)

    async def _remember(
        self, request: web.Request, session: DashboardSession, looked_at: str
    ) -> None:
        if session.environment_id != looked_at:
            await self._signing_in.remember(request, looked_at)

    async def _elsewhere(self, page_request: DashboardRequest) -> web.StreamResponse | None:
        """Return a response for an item of another environment that the token may use.

        A page redirects there. A form changes nothing and shows a link. Return None if there is no
        such environment.
        """
        request = page_request.http
        other = await self._environment_of(request) if page_request.sees_all else None
        if other is None or other == page_request.environment_id:
            return None
        link = addresses.address(other, _shown(page_request.name), **_ids(request))
        if only_reads(request) and "HX-Request" not in request.headers:
            same = addresses.address(other, page_request.name, request.query, **_ids(request))
            return see_other(same)
        names = await page_request.services.environments.names([other])
        place = environment_words(other, names.get(other, other))
        text = f"It is in {place}, not in {page_request.environment_words}. Nothing was done."
        return self._show(request, ErrorPage(409, text, "", link, f"Look at it in {place}"))

    async def _environment_of(self, request: web.Request) -> str | None:
        """Return the environment of the item that the path names, None if it names none."""
        named = [request.match_info[part] for part in IDS if part in request.match_info]
        if not named:
            return None
        return await History(self._pool).environment_of(named[0])

    # ── addresses without an environment ─────────────────────────────────────────────────────────

    async def _home(self, request: web.Request, session: DashboardSession) -> web.StreamResponse:
        environment_id = request.match_info.get("environment", _usual(session))
        return see_other(addresses.address(environment_id, "overview", request.query))

    async def _redirect_old_address(
        self, request: web.Request, session: DashboardSession, *, name: str
    ) -> web.StreamResponse:
        """Redirect an address without an environment, as older versions used them.

        A form sent to such an address changes nothing, because it does not name its environment.
        """
        if not only_reads(request):
            text = (
                "The page was loaded before an update, and does not name its environment. Nothing"
                " was done. Open the page again."
            )
            return self._show(request, ErrorPage(409, text))
        if "HX-Request" in request.headers:
            return web.Response(status=409, headers={**HEADERS, "HX-Refresh": "true"})
        # A token of one environment is sent to it, whether or not another one has the item.
        of = None if session.principal.environment_id else await self._environment_of(request)
        target = of or _usual(session)
        return see_other(addresses.address(target, name, request.query, **_ids(request)))

    async def _sign_out(
        self, request: web.Request, session: DashboardSession
    ) -> web.StreamResponse:
        posted = await form_body.fields(request)
        if not is_masked(posted.get("csrf", ""), session.csrf):
            return self._show(
                request, ErrorPage(403, "The form has expired. Go back and reload the page.")
            )
        return await self._signing_in.sign_out(request)

    # ── errors ───────────────────────────────────────────────────────────────────────────────────

    def _show(self, request: web.Request, error_page: ErrorPage) -> web.Response:
        """Return an error page, with the navigation if the session is known."""
        page: DashboardRequest | None = request.get(_PAGE)
        if page is None and (session := self._signing_in.recall_session(request)):
            page = self._bare_request(request, session, _usual(session), "overview")
        again = request.rel_url.raw_path_qs if only_reads(request) else None
        retry = again if error_page.status >= 500 else None
        if page is None:
            return self._renderer.page(
                request,
                "error_page.html",
                status=error_page.status,
                error_page=error_page,
                retry=retry,
            )
        return page.page(
            "error_page.html", status=error_page.status, error_page=error_page, retry=retry
        )


async def _nowhere(_: DashboardRequest) -> web.StreamResponse:
    """Raise NotFoundError, for an address that no page has."""
    raise NotFoundError("There is no page at this address.")


def _usual(session: DashboardSession) -> str:
    """Return the environment to start with: the token's own, else the one shown last."""
    return session.principal.environment_id or session.environment_id


def _ids(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in request.match_info.items() if name != "environment"}


def _shown(name: str) -> str:
    """Return the page that shows an item, given the name of one of its pages or forms."""
    section = addresses.PATHS[name].split("/")[1]
    return {"webhooks": "webhook", "deliveries": "delivery", "events": "event"}[section]
