"""One request for a page: its session, its environment, and the rendering of its response."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ForbiddenError, InvalidError
from dispatcher.core.ids import LARGEST_ID
from dispatcher.core.model import Scope
from dispatcher.dashboard import addresses, form_body, secret_fields
from dispatcher.dashboard.protection import HEADERS, masked
from dispatcher.dashboard.rendering import Renderer
from dispatcher.services.access.dashboard_sessions import DashboardSession
from dispatcher.services.access.token_authentication import Principal
from dispatcher.services.inputs.base import problems
from dispatcher.services.pauses import EnvironmentPauses
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.store.pool import PoolShare

PAGE_SIZE = 50
"""Rows on one page of a list."""
FLASH_MESSAGES = {
    "created": "Created.",
    "changed": "Saved.",
    "deleted": "Deleted. Its pending deliveries are cancelled.",
    "enabled": "Enabled. Its pending deliveries are being sent.",
    "disabled": "Disabled. Its pending deliveries wait until you enable it again.",
    "tested": "The test event is being sent.",
    "retried": "The delivery is being sent again.",
    "cancelled": "Cancelled.",
    "emitted": "Emitted.",
    "revoked": "Revoked. The token is refused from now on.",
    "released": "Released. The event is being fanned out, or its delivery sent again.",
    "discarded": "Discarded. The event is not fanned out, or its delivery is cancelled.",
    "recovering": "The recovery has started.",
    "started": "Started.",
    "paused": "Sending is paused.",
    "resumed": "Sending is resumed.",
    "resumed_in_part": "No pause of all environments is left. Environments that are paused"
    " themselves stay paused: the list of environments shows which.",
    "newest": "This is the newest one of the list.",
    "oldest": "This is the oldest one of the list.",
    "too_far": "The next one is too far away to be found by a step. It is in this list.",
}
"""Messages about the last change or step. An address contains only the key of a message, so a link
cannot make a page show any other text."""


_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class DashboardRequest:
    """A request for a page by a signed-in user.

    `name` is the page's name in `addresses.PATHS`. `environment` is the one in the address. The
    page shows and changes only that one, even if another tab shows another.
    """

    http: web.Request
    name: str
    session: DashboardSession
    environment: EnvironmentPauses
    services: Services
    pool: PoolShare
    renderer: Renderer

    @property
    def principal(self) -> Principal:
        """Return the principal of the session's token."""
        return self.session.principal

    @property
    def environment_id(self) -> str:
        return self.environment.id

    @property
    def environment_name(self) -> str:
        """Return the name of the environment, or its id if it has none."""
        return self.environment.name or self.environment_id

    @property
    def environment_words(self) -> str:
        """Return the environment for a sentence: its name, and its id, as names may be equal."""
        return environment_words(self.environment_id, self.environment_name)

    @property
    def sees_all(self) -> bool:
        """Return True if the token is valid for all environments."""
        return self.principal.environment_id is None

    @property
    def settings(self) -> ServiceSettings:
        """Return the settings of the services."""
        return self.services.settings

    @property
    def csrf(self) -> str:
        """Return the CSRF token for a form, masked in a different way each time."""
        return masked(self.session.csrf)

    @property
    def section(self) -> str:
        """Return the menu entry that the page belongs to."""
        return addresses.section(self.name)

    def url(self, name: str, query: Mapping[str, str] | None = None, /, **ids: object) -> str:
        """Return the address of another page of the same environment."""
        return addresses.address(self.environment_id, name, query, **ids)

    def may(self, scope: Scope) -> bool:
        """Return True if the token has the scope."""
        return self.principal.may(scope)

    def demand(self, scope: Scope) -> None:
        """Raise ForbiddenError if the token lacks the scope."""
        if not self.principal.may(scope):
            raise ForbiddenError(f"That needs a token with the scope {scope}.")

    @asynccontextmanager
    async def changing(self, scope: Scope = "write") -> AsyncIterator[Services]:
        """Open a transaction for a change, and yield the services bound to it.

        Raise ForbiddenError if the token lacks the scope.
        """
        self.demand(scope)
        async with self.pool.transaction() as session:
            yield self.services.within(session)

    async def fields(self) -> Mapping[str, str]:
        """Return the fields of the form, with the last value of each."""
        return dict((await form_body.fields(self.http)).items())

    async def several(self, name: str) -> list[str]:
        """Return all values of a field of the form."""
        return list((await form_body.fields(self.http)).getall(name, []))

    async def refused_form(
        self, errors: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fields and the errors of a refused form, to show it again without secrets."""
        fields = await form_body.fields(self.http)
        return secret_fields.refused_form(fields.items(), errors)

    def position(self, name: str = "before") -> int | None:
        """Return the position where the page of a listing begins, None for the first page.

        `name` is the query parameter. A value that is not a valid position counts as the first
        page.
        """
        text = self.http.query.get(name, "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
        return number if number is not None and number <= LARGEST_ID else None

    @staticmethod
    def moments(typed: Mapping[str, str]) -> dict[str, str]:
        """Return the filters that are filled in.

        Times from a browser have no zone and are read as UTC.
        """
        filled = {name: text for name, text in typed.items() if text}
        for name in {"since", "until"} & filled.keys():
            if bare := _NO_ZONE.fullmatch(filled[name]):
                filled[name] += "Z" if bare[1] else ":00Z"
        return filled

    def page(
        self, template: str, *, status: int = 200, secret: bool = False, **context: object
    ) -> web.Response:
        """Return a page. One that shows a `secret` is not compressed."""
        return self.renderer.page(
            self.http,
            template,
            status=status,
            secret=secret,
            request=self,
            url=self.url,
            url_in=addresses.address_in,
            flash=FLASH_MESSAGES.get(self.http.query.get("flash", "")),
            here=self.http.rel_url.without_query_params("flash", addresses.SHOWN),
            **context,
        )


def environment_words(environment_id: str, name: str) -> str:
    """Return an environment for a sentence, as in `Shop EU (env_eu)`."""
    return f"{name} ({environment_id})" if name != environment_id else name


def see_other(path: str, flash: str | None = None) -> web.Response:
    """Return a redirect to `path`. `flash` is the key of the message to show there."""
    location = f"{path}{'&' if '?' in path else '?'}flash={flash}" if flash else path
    return web.Response(status=303, headers={**HEADERS, "Location": location})


def field_errors(error: InvalidError | ValidationError) -> dict[str, str]:
    """Return the problems by field, so that the form can show each beside its field."""
    invalid = problems(error) if isinstance(error, ValidationError) else error
    return {str(p.place[0]) if p.place else "form": p.reason for p in reversed(invalid.problems)}
