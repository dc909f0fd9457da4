"""The reasons why an input is refused, in words of JSON and not of Python."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dispatcher.services.inputs import text_patterns
from dispatcher.services.inputs.base import Form, problems
from dispatcher.services.inputs.bulk_action_inputs import NewBulkAction
from dispatcher.services.inputs.environment_inputs import NewEnvironment
from dispatcher.services.inputs.event_inputs import BatchEvent, NewEvent
from dispatcher.services.inputs.history_filters import DeliveryFilters, EventFilters
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
        (
            DeliveryFilters,
            {"responseStatus": "9xx"},
            "must be a status such as 503, or 5xx for all from 500 to 599, not '9xx'",
        ),
        (
            NewEnvironment,
            {"id": "a b\x1b", "name": "A"},
            r"must be 1 to 64 of the characters A-Z a-z 0-9 _ -, not 'a b\x1b'",
        ),
        (
            NewBulkAction,
            {"action": "retry", "deliveryIds": ["dlv_1", "x" * 500]},
            f"must be the id of a delivery, dlv_ and digits, not '{'x' * 80}'",
        ),
        (EventFilters, {"id": "1"}, "must be the id of an event, evt_ and digits, not '1'"),
        (
            NewWebhook,
            WEBHOOK | {"headers": {"X-A": "h\x00sh"}},
            "must be printable ASCII characters that neither begin nor end with a space",
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


def test_every_pattern_has_words() -> None:
    """Look for patterns that are written elsewhere, which people would read as they are."""
    written = [
        path.name
        for path in Path(text_patterns.__file__).parent.glob("*.py")
        if re.search(r"StringConstraints\([^)]*pattern=r", path.read_text())
    ]
    assert written == []
    named = {name for name, value in vars(text_patterns).items() if str(value).startswith("^")}
    assert len({getattr(text_patterns, name) for name in named}) == len(text_patterns.WORDS)
