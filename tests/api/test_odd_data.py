"""Data that PostgreSQL takes and Python does not: everything around it is still answered."""

import json

import pytest

from dispatcher.client import AsyncClient
from dispatcher.services.inputs.webhook_inputs import WebhookChanges
from tests.api.conftest import Api
from tests.conftest import Connection

ODD = [f'{{"n":{"9" * 4400}}}', "[" * 1200 + "]" * 1200, "1e999", r'"\ud800"', '"[[[[{{{{"']


async def test_data_that_a_client_cannot_parse_hides_no_other_event_or_delivery(
    api: Api, connection: Connection
) -> None:
    token = await api.token("write")
    async with AsyncClient(api.address, token) as client:
        webhook = await client.webhooks.create("https://example.com/", ["*"])
        for text in (*ODD, '{"n":1}'):
            await connection.execute("SELECT dispatcher.emit('t.e', $1::text::json)", text)
        events = await client.events.list()
        assert events[0]["data"] == {"n": 1}
        for event, text in zip(events[1:], reversed(ODD), strict=True):
            full_event = await client.events.get(event.id)
            assert json.dumps(full_event)
            if text.startswith("["):
                assert full_event["data"] == text
        found_in = [delivery async for delivery in client.webhooks.each_delivery(webhook.id)]
        assert all(json.dumps(delivery) for delivery in found_in)


def test_metadata_nested_too_deeply_is_refused_with_the_reason() -> None:
    deep: dict[str, object] = {}
    for _ in range(990):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="levels deep"):
        WebhookChanges.model_validate({"metadata": deep})
