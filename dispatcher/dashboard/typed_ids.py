"""Lead to the item whose id somebody typed into a search field or a filter."""

import re
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from dispatcher.core import ids
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import DashboardRequest, see_other

_UUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID: Final = re.compile(
    rf"(?:({ids.EVENT_PREFIX}|{ids.DELIVERY_PREFIX})_\d{{1,19}}|{_UUID})", re.ASCII
)
_PAGES: Final = {
    ids.EVENT_PREFIX: ("event", "event_id"),
    ids.DELIVERY_PREFIX: ("delivery", "delivery_id"),
    None: ("webhook", "webhook_id"),
}


def page_of_id(text: str) -> tuple[str, str] | None:
    """Return the page of an event, a delivery or a webhook, and the parameter of its id.

    Return None if the text is not an id. The item need not exist.
    """
    match = _ID.fullmatch(text)
    return None if match is None else _PAGES[match[1]]


async def item_redirect(request: DashboardRequest, typed: Iterable[str]) -> web.Response | None:
    """Return a redirect to the item whose id somebody typed into a filter for something else.

    The item is an event, a delivery or a webhook. Return None if no text is the id of an item that
    the token may see.
    """
    for text in typed:
        page = page_of_id(text)
        if page is None:
            continue
        environment_id = await request.services.history.environment_of(text)
        if environment_id == request.environment_id or (environment_id and request.sees_all):
            name, part = page
            return see_other(addresses.address(environment_id, name, None, **{part: text}))
    return None
