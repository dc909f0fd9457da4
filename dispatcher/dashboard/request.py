"""One visit to a page: who looks at what, and how a page is given."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from dispatcher.api.pipeline import request_id
from dispatcher.core.errors import Forbidden, Invalid
from dispatcher.core.ids import LARGEST
from dispatcher.dashboard import addresses, form_body
from dispatcher.dashboard.protection import HEADERS, masked
from dispatcher.dashboard.rendering import Renderer
from dispatcher.services.audit_log import Actor
from dispatcher.services.dashboard_sessions import SignIn
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.tokens import Scope
from dispatcher.services.pauses import Standing
from dispatcher.services.services import Office
from dispatcher.services.tokens import Principal
from dispatcher.store.pool import PoolShare
from dispatcher.store.session import Asked

SAID = {
    "created": "Created.",
    "changed": "Saved.",
    "deleted": "Deleted. What was pending for it is cancelled.",
    "enabled": "Enabled: what was held is being sent.",
    "disabled": "Disabled: what is pending waits until you enable it again.",
    "tested": "A test event is on its way.",
    "retried": "It is being sent again.",
    "cancelled": "Cancelled.",
    "emitted": "Emitted.",
    "revoked": "Revoked: it is refused from now on.",
    "released": "Released: it is being fanned out.",
    "discarded": "Discarded: it will not be fanned out.",
    "recovering": "The recovery is under way.",
    "paused": "Sending is paused.",
    "resumed": "Sending goes on.",
}
"""What a page may say of what was just done: an address names it, and can say nothing else."""


_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Visit:
    """`name` is the page's in `addresses.PATHS`. `environment` is the one its address names: the
    only one that the page shows and its forms change, whatever another tab looks at."""

    request: web.Request
    name: str
    signed_in: SignIn
    environment: Standing
    office: Office
    pool: PoolShare
    renderer: Renderer

    @property
    def principal(self) -> Principal:
        return self.signed_in.principal

    @property
    def environment_id(self) -> str:
        return self.environment.id

    @property
    def sees_all(self) -> bool:
        """Return True if the token is good for every environment."""
        return self.principal.environment_id is None

    @property
    def actor(self) -> Actor:
        name = f"token:{self.principal.token_id}"
        return Actor(name, request_id(self.request), self.request.remote)

    @property
    def csrf(self) -> str:
        """Return the token of a form, another text each time."""
        return masked(self.signed_in.csrf)

    @property
    def section(self) -> str:
        """Return the entry of the menu that the page stands under."""
        return addresses.section(self.name)

    def url(self, name: str, query: Mapping[str, str] | None = None, /, **ids: object) -> str:
        """Return the address of another page of the same environment."""
        return addresses.address(self.environment_id, name, query, **ids)

    def may(self, scope: Scope) -> bool:
        return self.principal.may(scope)

    def demand(self, scope: Scope) -> None:
        """Raises Forbidden."""
        if not self.principal.may(scope):
            raise Forbidden(f"That needs a token with the scope {scope}.")

    @asynccontextmanager
    async def changing(self, scope: Scope = "write") -> AsyncIterator[Asked]:
        """A transaction, for those who may."""
        self.demand(scope)
        async with self.pool.transaction() as session:
            yield session

    async def fields(self) -> Mapping[str, str]:
        """What was typed into a form; of fields that came more than once, the last."""
        return dict((await form_body.fields(self.request)).items())

    async def several(self, name: str) -> list[str]:
        """All values of a field."""
        return list((await form_body.fields(self.request)).getall(name, []))

    def position(self) -> int | None:
        """Where the page of a listing begins; what is no number is the beginning."""
        text = self.request.query.get("before", "")
        found = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
        return found if found is not None and found <= LARGEST else None

    @staticmethod
    def moments(asked: Mapping[str, str]) -> dict[str, str]:
        """Filters that were filled in; a browser's times are without a zone, and meant as UTC."""
        filled = {name: text for name, text in asked.items() if text}
        for name in {"since", "until"} & filled.keys():
            if bare := _NO_ZONE.fullmatch(filled[name]):
                filled[name] += "Z" if bare[1] else ":00Z"
        return filled

    def page(
        self, template: str, *, status: int = 200, secret: bool = False, **context: Any
    ) -> web.Response:
        """Return a whole page, or the part of it that a live region asked for (`part`). `secret`:
        it shows a secret."""
        return self.renderer.page(
            self.request,
            template,
            status=status,
            secret=secret,
            visit=self,
            url=self.url,
            said=SAID.get(self.request.query.get("said", "")),
            here=self.request.rel_url.without_query_params("said"),
            part=self.request.query.get("part"),
            **context,
        )


def see_other(path: str, said: str | None = None) -> web.Response:
    """After a change: the page to look at, and what it is to say."""
    location = f"{path}{'&' if '?' in path else '?'}said={said}" if said else path
    return web.Response(status=303, headers={**HEADERS, "Location": location})


def mistakes(error: Invalid | ValidationError) -> dict[str, str]:
    """What is wrong, by field, for the form to show where it was typed."""
    invalid = problems(error) if isinstance(error, ValidationError) else error
    return {str(p.place[0]) if p.place else "form": p.reason for p in reversed(invalid.problems)}
