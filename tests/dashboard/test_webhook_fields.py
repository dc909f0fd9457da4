"""A field of a webhook is in each place that the recipe in CONTRIBUTING.md names."""

from dispatcher.dashboard.views import webhook_settings
from dispatcher.services.inputs.webhook_inputs import NewWebhook, WebhookChanges
from dispatcher.services.webhooks import webhook_audit, webhook_columns
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.store.queries.endpoints import CREDENTIALS, NAMED, SETTINGS, SendingEndpointRow

CHANGEABLE = frozenset(WebhookChanges.model_fields)
CREDENTIAL_FIELDS = {"authentication", "tls"}
STORED_AS = {"timeout": "timeout_ms"}
"""Columns that have another name than their field."""


def column(field: str) -> str:
    return STORED_AS.get(field, field)


def test_a_new_webhook_has_each_field_that_may_be_changed() -> None:
    assert set(NewWebhook.model_fields) - CHANGEABLE == {"ordered", "signing_secret"}
    assert set(NewWebhook.model_fields) >= CHANGEABLE


def test_each_field_that_may_be_changed_is_written() -> None:
    of_row = set(map(column, CHANGEABLE)) - {"events"}
    assert {*NAMED, *SETTINGS} == of_row - CREDENTIAL_FIELDS
    assert set(CREDENTIALS) >= CREDENTIAL_FIELDS
    # A URL is parsed, headers and credentials are encrypted before they are written.
    unchanged = of_row - CREDENTIAL_FIELDS - {"url", "headers"}
    assert set(webhook_columns.columns(WebhookChanges())) == unchanged


def test_each_field_that_may_be_changed_is_shown() -> None:
    shown = set(Webhook.__dataclass_fields__)
    assert CHANGEABLE - shown == {"headers"}
    assert "header_names" in shown


def test_each_field_that_may_be_changed_is_audited_unless_it_may_hold_a_secret() -> None:
    may_hold_a_secret = {"description", "headers", "metadata", *CREDENTIAL_FIELDS}
    assert set(webhook_audit._AUDITED) == CHANGEABLE - may_hold_a_secret


def test_the_settings_page_has_each_field_that_may_be_changed() -> None:
    of_lists = {"events", "headers", "signature_schemes"}
    elsewhere = {"active", *CREDENTIAL_FIELDS}  # a button, and a page of their own
    assert set(webhook_settings._given({})) == CHANGEABLE - of_lists - elsewhere


def test_sending_knows_each_setting() -> None:
    assert set(SETTINGS) - set(SendingEndpointRow.__annotations__) == {"metadata"}
