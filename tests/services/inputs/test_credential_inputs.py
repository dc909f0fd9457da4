"""The inputs of credentials show no secret in their repr, nor in an error about them."""

import pytest
from pydantic import ValidationError

from dispatcher.services.inputs.webhook_inputs import NewWebhook, WebhookChanges

HUSH = "hush-hush-hush"


@pytest.mark.parametrize(
    "fields",
    [
        {"url": f"https://me:{HUSH}@example.com/"},
        {"authentication": {"type": "basic", "username": HUSH, "password": HUSH}},
        {
            "authentication": {
                "type": "oauth2",
                "token_url": "https://a.com/",
                "client_id": "b",
                "client_secret": HUSH,
            }
        },
        {"tls": {"certificate": "a", "key": HUSH}},
    ],
)
def test_a_repr_has_no_secret(fields: dict[str, object]) -> None:
    new = NewWebhook.model_validate({"url": "https://example.com/", "events": ["a"], **fields})
    changes = WebhookChanges.model_validate(fields)
    assert HUSH not in f"{new!r} {changes!r} {new} {changes}"


@pytest.mark.parametrize(
    "authentication",
    [
        {"type": HUSH, "password": HUSH},
        {"type": "basic", "password": HUSH},
        {"type": "basic", "username": "a", "password": HUSH * 100},
        {"type": "oauth2", "client_secret": HUSH},
        HUSH,
    ],
)
def test_an_error_has_no_secret(authentication: object) -> None:
    fields = {"url": "https://a.com/", "events": ["a"], "authentication": authentication}
    with pytest.raises(ValidationError) as raised:
        NewWebhook.model_validate(fields)
    assert HUSH not in str(raised.value)
