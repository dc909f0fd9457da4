"""Convert a webhook's input to columns, and estimate the size of its row."""

from collections.abc import Mapping

import orjson

from dispatcher.services.inputs.webhook_inputs import NewWebhook, Schedule, WebhookChanges
from dispatcher.store.queries.endpoints import EndpointRow

ROW_BYTES = 1000
"""Approximate bytes of a webhook in a response, besides the texts that `size` adds."""


def size(row: EndpointRow) -> int:
    """Return approximately how many bytes a webhook takes in a response."""
    texts = (row["metadata"], row["url"], row["description"], *row["events"])
    texts += (row["authentication"] or "", row["tls"] or "")
    return sum(map(len, texts)) + len(row["headers"] or b"") + ROW_BYTES


def columns(form: NewWebhook | WebhookChanges) -> dict[str, object]:
    """Return the fields that are stored unchanged, or nearly."""
    return {
        "name": form.name,
        "description": form.description,
        "active": form.active,
        "signature_schemes": form.signature_schemes,
        "max_in_flight": form.max_in_flight,
        "rate_limit": form.rate_limit,
        "timeout_ms": None if form.timeout is None else round(form.timeout * 1000),
        "retry": _schedule(form.retry),
        "metadata": None if form.metadata is None else orjson.dumps(form.metadata).decode(),
    }


def are_equal(row: Mapping[str, object], merged: Mapping[str, object]) -> bool:
    """Return True if both rows say the same."""
    return all(_plain(name, row[name]) == _plain(name, merged[name]) for name in merged)


def _plain(name: str, value: object) -> object:
    """Return a value to compare. PostgreSQL writes the JSON of a schedule in its own way."""
    return orjson.loads(value) if name == "retry" and isinstance(value, str) else value


def _schedule(schedule: Schedule | None) -> str | None:
    if schedule is None:
        return None
    fields = {name: value for name, value in schedule.given().items() if value is not None}
    return orjson.dumps(fields).decode() if fields else None
