"""The address of every page and form: its path below the environment that it belongs to."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

SHOWN: Final = "shown"
"""The query parameter of a live update of a list: the position directly above the rows that the
page shows."""

PATHS: Final[Mapping[str, str]] = {
    "overview": "/",
    "pause": "/pause",
    "resume": "/resume",
    "webhooks": "/webhooks",
    "webhook_new": "/webhooks/new",
    "webhook_matches": "/webhooks/matches",
    "webhook": "/webhooks/{webhook_id}",
    "webhook_test": "/webhooks/{webhook_id}/test",
    "webhook_rotate": "/webhooks/{webhook_id}/rotate",
    "webhook_enable": "/webhooks/{webhook_id}/enable",
    "webhook_disable": "/webhooks/{webhook_id}/disable",
    "webhook_delete": "/webhooks/{webhook_id}/delete",
    "webhook_settings": "/webhooks/{webhook_id}/settings",
    "webhook_credentials": "/webhooks/{webhook_id}/credentials",
    "webhook_tries": "/webhooks/{webhook_id}/tries",
    "webhook_history": "/webhooks/{webhook_id}/history",
    "webhook_recoveries": "/webhooks/{webhook_id}/recoveries",
    "webhook_recovery_cancel": "/webhooks/{webhook_id}/recoveries/{recovery_id}/cancel",
    "deliveries": "/deliveries",
    "causes": "/deliveries/causes",
    "bulk_actions": "/deliveries/bulk",
    "bulk_action": "/deliveries/bulk/{bulk_action_id}",
    "bulk_action_cancel": "/deliveries/bulk/{bulk_action_id}/cancel",
    "delivery": "/deliveries/{delivery_id}",
    "delivery_payload": "/deliveries/{delivery_id}/payload",
    "delivery_older": "/deliveries/{delivery_id}/older",
    "delivery_newer": "/deliveries/{delivery_id}/newer",
    "delivery_curl": "/deliveries/{delivery_id}/curl",
    "delivery_retry": "/deliveries/{delivery_id}/retry",
    "delivery_cancel": "/deliveries/{delivery_id}/cancel",
    "events": "/events",
    "event_new": "/events/new",
    "event": "/events/{event_id}",
    "event_data": "/events/{event_id}/data",
    "event_older": "/events/{event_id}/older",
    "event_newer": "/events/{event_id}/newer",
    "event_types": "/event-types",
    "event_type_new": "/event-types/new",
    "event_type": "/event-types/of/{name}",
    "event_type_delete": "/event-types/of/{name}/delete",
    "quarantine": "/quarantine",
    "quarantine_release": "/quarantine/{quarantine_id}/release",
    "quarantine_discard": "/quarantine/{quarantine_id}/discard",
    "tokens": "/tokens",
    "token_revoke": "/tokens/{token_id}/revoke",
    "audit": "/audit",
    "search": "/search",
    "environments": "/environments",
    "environment_rename": "/environments/rename",
    "switch": "/switch",
}
"""Paths by page name. A fixed path stands before a pattern that would take it for an id."""

_ROOTS: Final = {
    "webhooks": "webhooks",
    "deliveries": "webhooks",
    "events": "events",
    "event-types": "event_types",
    "quarantine": "quarantine",
    "tokens": "tokens",
    "audit": "audit",
}
_OF_ALL: Final = frozenset(
    {"deliveries", "causes", "bulk_actions", "bulk_action", "bulk_action_cancel"}
)
"""The pages about deliveries of all webhooks. That of one delivery belongs to its webhook."""
_PAGES: Final = frozenset(
    {
        *_ROOTS.values(),
        "overview",
        "webhook_new",
        "event_new",
        "deliveries",
        "causes",
        "bulk_actions",
        "search",
    }
)


def route(name: str) -> str:
    """Return the route of a page, with `{environment}` in it."""
    return f"/e/{{environment}}{PATHS[name]}"


def address(
    environment_id: str, name: str, query: Mapping[str, str] | None = None, /, **ids: object
) -> str:
    """Return the address of a page of an environment.

    `query` becomes the query string, and `ids` fill the pattern. Raise KeyError if the page is
    unknown or an id is missing.
    """
    quoted = {key: quote(str(value), safe="") for key, value in ids.items()}
    path = f"/e/{quote(environment_id, safe='')}{PATHS[name].format_map(quoted)}"
    return f"{path}?{urlencode(query)}" if query else path


def address_in(
    environment_id: str, name: str, ids: Mapping[str, str], query: Mapping[str, str] | None = None
) -> str:
    """Return the address of a page of any environment. `ids` fill the pattern."""
    return address(environment_id, name, query, **ids)


def counterpart(name: str) -> str:
    """Return the page to show after a switch to another environment.

    It is the same page if every environment has it. Otherwise it is the main page of its menu
    entry: from the page of one delivery, for example, the list of webhooks. For an unknown name it
    is the overview.
    """
    if name in _PAGES:
        return name
    return section(name) if name in PATHS else "overview"


def section(name: str) -> str:
    """Return the menu entry that a page belongs to."""
    if name in _OF_ALL:
        return "deliveries"
    return _ROOTS.get(PATHS[name].split("/")[1], "overview")
