"""Say in the audit log what changed in a webhook, without its secrets. Do no I/O."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from dispatcher.services.audit import audit_changes
from dispatcher.services.webhooks.webhook_resource import Webhook

_AUDITED: Final = (
    "name",
    "url",
    "events",
    "active",
    "rate_limit",
    "max_in_flight",
    "timeout",
    "retry",
    "signature_schemes",
)
"""Fields whose values are written to the audit log. People may paste a secret into a
description."""


def created(webhook: Webhook) -> dict[str, Any]:
    """Return the detail of a new webhook."""
    return {name: _values(webhook)[name] for name in ("name", "url", "events")}


def updated(changes: Mapping[str, Any], before: Webhook, after: Webhook) -> dict[str, Any]:
    """Return the detail of a change: the given fields, and values that are no secret."""
    detail = audit_changes.detail(changes, _values(before), _values(after))
    if "headers" in changes:
        detail["headers"] = list(changes["headers"] or ())  # the names only: a value may be secret
    return detail


def _values(webhook: Webhook) -> dict[str, Any]:
    values = {name: getattr(webhook, name) for name in _AUDITED}
    return {**values, "retry": None if webhook.retry is None else orjson.loads(webhook.retry)}
