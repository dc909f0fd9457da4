"""The reasons why an input is refused, in words of JSON and not of Python."""

from typing import Any

import pytest
from pydantic import ValidationError

from dispatcher.services.inputs.base import Form, problems
from dispatcher.services.inputs.bulk_action_inputs import NewBulkAction
from dispatcher.services.inputs.event_inputs import BatchEvent, NewEvent
from dispatcher.services.inputs.webhook_inputs import NewWebhook, WebhookChanges

WEBHOOK = {"url": "https://example.com/", "events": ["a"]}


@pytest.mark.parametrize(
    ("form", "document", "reason"),
    [
        (BatchEvent, 7, "must be an object"),
        (NewEvent, {"type": "a", "data": 1, "x": 1}, "is not known here"),
        (
            NewEvent,
            {"type": "a", "data": 1, "idempotencyKey": "k"},
            "is not known here. Send the key in the header Idempotency-Key",
        ),
        (
            WebhookChanges,
            {"ordered": False},
            "is chosen when the webhook is made, and cannot be changed. Create another webhook",
        ),
        (NewWebhook, WEBHOOK | {"metadata": []}, "must be an object"),
        (NewWebhook, WEBHOOK | {"headers": {"Host": "a"}}, "Host is a reserved header"),
        (NewWebhook, WEBHOOK | {"retry": 5}, "must be an object"),
        (NewWebhook, WEBHOOK | {"events": "a"}, "must be an array"),
        (NewBulkAction, {"action": "retry", "filters": {"webhookId": 5}}, "must be a UUID"),
        (NewBulkAction, {"action": "retry", "filters": 5}, "must be an object"),
        (
            NewBulkAction,
            {"action": "retry", "deliveryIds": ["dlv_1"] * 201},
            "must have at most 200 items, not 201",
        ),
    ],
)
def test_a_reason_names_no_class_of_python(form: type[Form], document: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        form.model_validate(document)
    assert [problem.reason for problem in problems(raised.value).problems] == [reason]
