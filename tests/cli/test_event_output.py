"""What `event get` prints: the reference, and where the rest of many deliveries is."""

import pytest
from click.testing import CliRunner

from dispatcher.cli.commands import event as command
from dispatcher.client import Resource

DELIVERY = {
    "id": "dlv_1",
    "status": "DELIVERED",
    "webhookId": "w",
    "attempts": 1,
    "responseStatus": 200,
    "error": None,
    "errorCode": None,
}
EVENT: dict[str, object] = {
    "id": "evt_1",
    "type": "order.created",
    "createdAt": "2026-11-29T01:16:10.000Z",
    "environmentId": "env_default",
    "idempotencyKey": None,
    "reference": None,
    "data": {},
    "dataSize": 2,
    "waiting": None,
    "deliveries": [DELIVERY],
    "moreDeliveries": False,
}


def printed(monkeypatch: pytest.MonkeyPatch, **fields: object) -> str:
    """Return what `event get` prints about an event with these fields."""
    monkeypatch.setattr(
        command, "call_about_one", lambda target, request: Resource({**EVENT, **fields})
    )
    return CliRunner().invoke(command.get, ["evt_1"]).output


def test_an_event_is_printed_with_its_reference_if_it_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "\n  reference    ord_1\n" in printed(monkeypatch, reference="ord_1")
    assert "reference" not in printed(monkeypatch)


def test_the_command_that_lists_more_deliveries_lists_more_than_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "dispatcher event deliveries" not in printed(monkeypatch)
    text = printed(monkeypatch, moreDeliveries=True)
    assert "For more: dispatcher event deliveries evt_1 --limit 1000\n" in text
