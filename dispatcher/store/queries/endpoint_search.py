"""Find endpoints as people look for them: by name, URL and state."""

from typing import NamedTuple, TypedDict
from uuid import UUID

from dispatcher.store.rows import only_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EndpointBrowse(NamedTuple):
    """What a list of endpoints shows: those with a text in their name or URL, ignoring case.

    `state` None is every state. `look` is the most endpoints to read.
    """

    text: str
    state: str | None
    order: str
    skip: int
    limit: int
    look: int


class EndpointFind(NamedTuple):
    """Which endpoints to find after the id `after`: see EndpointBrowse."""

    text: str
    state: str | None
    after: UUID | None
    look: int
    limit: int


class FoundEndpointsRow(TypedDict):
    """The ids of endpoints, and the last endpoint that was read, None if there is none after it."""

    ids: list[UUID]
    looked_to: UUID | None


class BrowsedEndpointsRow(TypedDict):
    """Numbers of endpoints that have a text, in all and by state, and the ids of a page of them."""

    number: int
    active: int
    failing: int
    resting: int
    disabled: int
    ids: list[UUID]


class EndpointSearch:
    """The endpoints of an environment, by their names, URLs and states."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def browse(self, environment_id: str, query: EndpointBrowse) -> BrowsedEndpointsRow:
        """Return the numbers of endpoints by state, and the ids of a page."""
        rows = await self._session.fetch(
            statement("endpoint_search/browse"),
            environment_id,
            query.text,
            query.look,
            query.state,
            query.order,
            query.skip,
            query.limit,
        )
        return only_row(BrowsedEndpointsRow, rows)

    async def find(self, environment_id: str, query: EndpointFind) -> FoundEndpointsRow:
        """Return the ids of endpoints that match, oldest first."""
        rows = await self._session.fetch(
            statement("endpoint_search/find"),
            environment_id,
            query.text,
            query.state,
            query.after,
            query.look,
            query.limit,
        )
        return only_row(FoundEndpointsRow, rows)
