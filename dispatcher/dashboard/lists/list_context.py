"""The list from which a person opened an item: its page and filter, kept in the item's address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dispatcher.dashboard.lists import delivery_filter_form
from dispatcher.dashboard.request import DashboardRequest

EVENT_FIELDS: Final = ("type", "since", "until")
_FIELDS: Final = {
    "deliveries": delivery_filter_form.FIELDS,
    "webhook": delivery_filter_form.FIELDS,
    "events": EVENT_FIELDS,
}
_LISTS: Final = {"delivery": ("deliveries", "webhook"), "event": ("events",)}
"""The lists that an item can be opened from, by the page of the item."""


@dataclass(frozen=True, slots=True)
class ListContext:
    """The list `name`, and what its filter fields contain.

    `query` is the query string of the item's address, from which this was read. `link` leads back.
    """

    name: str
    given: Mapping[str, str]
    link: str

    @property
    def query(self) -> dict[str, str]:
        return {"in": self.name, **self.given}


def read(request: DashboardRequest, kind: str) -> ListContext | None:
    """Return the list that the address of an item names, None if it names none.

    `kind` is `delivery` or `event`.
    """
    query = request.http.query
    name = query.get("in", "")
    if name not in _LISTS[kind]:
        return None
    fields = {field: text for field in _FIELDS[name] if (text := query.get(field, "").strip())}
    if name != "webhook":
        return ListContext(name, fields, request.url(name, fields))
    # The page of a webhook has its id in the path.
    webhook_id = fields.get("webhook", "")
    rest = {field: text for field, text in fields.items() if field != "webhook"}
    return ListContext(name, fields, request.url("webhook", rest, webhook_id=webhook_id))


def query_of(request: DashboardRequest, kind: str) -> dict[str, str]:
    """Return the query string that keeps the list of an item, empty if there is none."""
    context = read(request, kind)
    return {} if context is None else context.query
