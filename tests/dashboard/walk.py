"""The address of every page that a GET shows, by the table of routes, also with filters."""

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

from dispatcher.dashboard import addresses
from dispatcher.dashboard.all_routes import PAGES

QUERIES: Mapping[str, Sequence[str]] = {
    "overview": ("range=day", "as=table", "of=all"),
    "webhooks": (
        "page=10",
        "q=customer+7",
        "state=failing",
        "sort=name",
        "sort=failed&state=failing&q=9",
    ),
    "webhook_matches": ("patterns=shop1.*+user.*",),
    "webhook": ("status=FAILED", "status=PENDING", "event=order.rare", "event=none.such"),
    "deliveries": (
        "status=FAILED",
        "status=PENDING",
        "event=order.rare",
        "event=none.such",
        "webhook=Customer+7",
        "response_status=503",
        "reference=ord_9",
    ),
    "delivery": ("in=deliveries&status=FAILED",),
    "delivery_older": ("in=deliveries&status=FAILED", "in=webhook&event=none.such"),
    "delivery_newer": ("in=deliveries&status=FAILED", "in=webhook&event=none.such"),
    "event_older": ("in=events&type=order.rare",),
    "event_newer": ("in=events&type=order.rare",),
    "events": ("type=order.rare", "type=none.such"),
    "event_new": ("type=order.paid",),
    "tokens": ("after=1700000000000000_00000000-0000-4000-8000-000000000001",),
    "audit": ("all=on", "actor=cli:ann", "subject=none"),
    "search": (
        "q=ord_9",
        "q=Customer+7",
        "q=tenant",
        "q=inv_12&in=all",
        "q=nowhere+to+be+found&in=all",
    ),
    "environments": ("to=tenant",),
    "switch": ("to=env_default",),
}
"""Queries of pages that read something else with them."""
NEVER_WITHOUT = frozenset({"switch"})
"""Pages that need a query."""


def walk(environment_id: str, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each page and its address, then its addresses with a query.

    `ids` has an id for each part of a path. Raise KeyError if one is missing: a page that shows a
    new kind of item needs one in `crowd.IDS`.
    """
    for name in dict.fromkeys(name for method, name, _ in PAGES if method == "GET"):
        parts = {part for _, part, _, _ in Formatter().parse(addresses.PATHS[name]) if part}
        address = addresses.address(environment_id, name, None, **{p: ids[p] for p in parts})
        if name not in NEVER_WITHOUT:
            yield name, address
        for query in QUERIES.get(name, ()):
            yield f"{name}?{query}", f"{address}?{query}"
