"""List the webhooks of an environment as people look for them: by name, URL and state."""

from dataclasses import dataclass
from typing import Final, Literal

from dispatcher.core.pagination import SEARCHED_LIMIT
from dispatcher.services.webhook_resource import Webhook
from dispatcher.services.webhooks import Webhooks
from dispatcher.store.endpoints import EndpointBrowse, Endpoints
from dispatcher.store.session import Queryable

PAGES_LIMIT: Final = 1_000
"""Most pages that one can turn to."""

WebhookState = Literal["active", "failing", "resting", "disabled"]
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
    """The list of webhooks. The methods raise StoreUnavailableError and StatementTimeoutError."""

    def __init__(self, session: Queryable, webhooks: Webhooks) -> None:
        self._endpoints = Endpoints(session)
        self._webhooks = webhooks

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
        wanted = EndpointBrowse(
            text=text.lower(),
            state=state,
            order=order,
            skip=(min(max(page, 1), PAGES_LIMIT) - 1) * limit,
            limit=limit + 1,
            look=SEARCHED_LIMIT,
        )
        row = await self._endpoints.browse(environment_id, wanted)
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
