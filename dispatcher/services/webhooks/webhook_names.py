"""Name webhooks by id, and find them by their name or URL."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from dispatcher.core.pagination import SEARCHED_LIMIT
from dispatcher.store.queries.endpoints import EndpointNameRow, Endpoints
from dispatcher.store.session import Queryable


@dataclass(frozen=True, slots=True)
class WebhookName:
    """What people call a webhook. A deleted one keeps its name, because its history shows it."""

    id: UUID
    name: str
    url: str
    active: bool
    deleted: bool

    @classmethod
    def from_row(cls, row: EndpointNameRow) -> "WebhookName":
        """Return the name of its row."""
        return cls(row["id"], row["name"], row["url"], row["active"], row["deleted"])


class WebhookNames:
    """The names of the webhooks of an environment."""

    def __init__(self, session: Queryable) -> None:
        self._stored = Endpoints(session)

    async def of(self, environment_id: str, ids: Collection[UUID]) -> Mapping[UUID, WebhookName]:
        """Return the names by id. Ids of other environments are left out."""
        if not ids:
            return {}
        rows = await self._stored.names(environment_id, set(ids))
        return {row["id"]: WebhookName.from_row(row) for row in rows}

    async def search(
        self, environment_id: str, text: str, *, limit: int
    ) -> tuple[WebhookName, ...]:
        """Return webhooks whose name or URL contains the text, the best match first."""
        rows = await self._stored.search(environment_id, text, look=SEARCHED_LIMIT, limit=limit)
        return tuple(map(WebhookName.from_row, rows))
