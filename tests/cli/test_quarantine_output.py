"""What commands print about the quarantine: also the delivery and the webhook of an entry."""

import pytest

from dispatcher.cli.commands.quarantine import COLUMNS, print_row
from dispatcher.cli.output.tables import lines
from dispatcher.client import Resource

EVENT = Resource(
    {
        "id": "q_1",
        "eventId": "evt_1",
        "environmentId": "env_default",
        "type": "a.b",
        "webhookId": None,
        "deliveryId": None,
        "reason": "schema",
        "detail": "why",
        "quarantinedAt": "2026-11-29T01:16:10.000Z",
    }
)
DELIVERY = Resource({**EVENT, "webhookId": "w", "deliveryId": "dlv_1", "reason": "result_refused"})


def test_a_delivery_in_quarantine_is_listed_with_its_id_and_its_webhook() -> None:
    event, delivery = lines(COLUMNS, [EVENT, DELIVERY], None)
    assert "dlv_" not in event
    assert "dlv_1, w" in delivery


@pytest.mark.parametrize(
    ("row", "line"), [(EVENT, ""), (DELIVERY, "  for     delivery dlv_1, webhook w\n")]
)
def test_a_delivery_in_quarantine_is_shown_with_its_id_and_its_webhook(
    row: Resource, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_row(row)
    out = capsys.readouterr().out
    assert line in out
    assert ("  for " in out) == bool(line)
