"""List the webhooks of an environment as people look for them: by name, URL and state."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from dispatcher.core.pagination import SEARCHED_LIMIT, Page
from dispatcher.services.inputs.webhook_inputs import WebhookState
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.services.webhooks.webhooks import Webhooks
from dispatcher.store.queries.endpoint_search import EndpointBrowse, EndpointFind, EndpointSearch
from dispatcher.store.session import Queryable

PAGES_LIMIT: Final = 1_000
"""Most pages that one can turn to."""

WebhookOrder = Literal["oldest", "newest", "name", "failed"]


@dataclass(frozen=True, slots=True)
class WebhookStates:
    """How many webhooks match a text, in all and by state, of the first SEARCHED_LIMIT."""

    number: int
    active: int
    failing: int
    resting: int
    disabled: int


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """A page of webhooks. `has_more` is True if another page follows."""

    items: tuple[Webhook, ...]
    states: WebhookStates
    has_more: bool


class WebhookList:
    """The list of webhooks. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable, webhooks: Webhooks) -> None:
        self._search = EndpointSearch(session)
        self._webhooks = webhooks

    async def find(
        self,
        environment_id: str,
        *,
        text: str = "",
        state: WebhookState | None = None,
        after: UUID | None = None,
        limit: int,
    ) -> Page[Webhook, UUID]:
        """Return webhooks whose name or URL contains the text, oldest first.

        They come after `after`. At most SEARCHED_LIMIT are read: a page can be short and have a
        next one.
        """
        query = EndpointFind(text, state, after, SEARCHED_LIMIT, limit + 1)
        row = await self._search.find(environment_id, query)
        ids = Page.of_ids(row["ids"], limit)
        page = await self._webhooks.page_of_ids(environment_id, ids.items, limit)
        return Page(page.items, page.next or ids.next or row["looked_to"])

    async def page(
        self,
        environment_id: str,
        *,
        text: str = "",
        state: WebhookState | None = None,
        order: WebhookOrder = "oldest",
        page: int = 1,
        limit: int,
    ) -> WebhookPage:
        """Return a page, from 1 on, of the webhooks whose name or URL contains the text."""
        query = EndpointBrowse(
            text=text,
            state=state,
            order=order,
            skip=(min(max(page, 1), PAGES_LIMIT) - 1) * limit,
            limit=limit + 1,
            look=SEARCHED_LIMIT,
        )
        row = await self._search.browse(environment_id, query)
        states = WebhookStates(
            number=row["number"],
            active=row["active"],
            failing=row["failing"],
            resting=row["resting"],
            disabled=row["disabled"],
        )
        ids = row["ids"]
        items = await self._webhooks.of_ids(environment_id, ids[:limit])
        return WebhookPage(items, states, len(ids) > limit)
