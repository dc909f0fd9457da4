"""The filter above deliveries of all webhooks, as a query and as a form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from dispatcher.dashboard.lists import filter_messages
from dispatcher.dashboard.request import DashboardRequest
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.services.webhooks.webhook_names import WebhookName

FIELDS: Final = (
    "status",
    "response_status",
    "error_code",
    "event",
    "webhook",
    "reference",
    "since",
    "until",
)
NAMED_LIMIT: Final = 5
"""Webhooks that a message names if several match."""


@dataclass(frozen=True, slots=True)
class TypedFilter:
    """A filter as it was typed, and what it means.

    `wrong` are messages by field. If there are any, `filters` must not be used.
    """

    typed: Mapping[str, str]
    filters: DeliveryFilters = field(default_factory=DeliveryFilters)
    webhook: WebhookName | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def webhook_id(self) -> UUID | None:
        return None if self.webhook is None else self.webhook.id

    @property
    def given(self) -> dict[str, str]:
        """Return the fields that are filled in."""
        return {name: text for name, text in self.typed.items() if text}


async def read(request: DashboardRequest, texts: Mapping[str, str]) -> TypedFilter:
    """Return the filter in a query or in a form."""
    typed = {name: texts.get(name, "").strip() for name in FIELDS}
    try:
        webhook = await _webhook(request, typed["webhook"])
        fields = {name: text for name, text in typed.items() if name != "webhook"}
        parsed = DeliveryFilters.model_validate_strings(request.moments(fields), strict=False)
    except ValidationError as error:
        return TypedFilter(typed, wrong=filter_messages.in_words(error))
    except LookupError as error:
        return TypedFilter(typed, wrong={"webhook": str(error.args[0])})
    return TypedFilter(typed, parsed, webhook)


async def _webhook(request: DashboardRequest, text: str) -> WebhookName | None:
    """Return the webhook with this id, or the one whose name or URL contains the text.

    Raise LookupError with a sentence if there is none, or if there are several.
    """
    if not text:
        return None
    names = request.services.webhook_names
    try:
        known = await names.of(request.environment_id, [UUID(text)])
        matches = tuple(known.values())
    except ValueError:
        matches = await names.search(request.environment_id, text, limit=NAMED_LIMIT + 1)
    exact = [webhook for webhook in matches if webhook.name.lower() == text.lower()]
    if len(exact) == 1 or len(matches) == 1:
        return (exact or matches)[0]
    if not matches:
        raise LookupError("No webhook has this name, URL or id.")
    listed = ", ".join(webhook.name for webhook in matches[:NAMED_LIMIT])
    more = " and others" if len(matches) > NAMED_LIMIT else ""
    raise LookupError(f"Several webhooks match: {listed}{more}. Write more of the name, or the id.")
