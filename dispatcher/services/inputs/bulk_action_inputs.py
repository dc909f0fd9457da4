"""Define the inputs for bulk actions."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.services.inputs.replay_inputs import RATE_LIMIT
from dispatcher.services.inputs.text_patterns import DELIVERY_NAME

SELECTED_LIMIT = 200
"""Most deliveries that one bulk action names one by one."""

DeliveryName = Annotated[str, StringConstraints(pattern=DELIVERY_NAME)]


class BulkFilters(DeliveryFilters):
    """Filter the deliveries of all webhooks. A delivery must match every given field."""

    webhook_id: Annotated[UUID, Field(strict=False)] | None = None
    """Only deliveries to this webhook."""


class NewBulkAction(Form):
    """Retry or cancel many deliveries: give either `filters` or the ids of deliveries."""

    action: Literal["retry", "cancel"]
    """To cancel, the token needs the scope `write`."""
    filters: BulkFilters | None = None
    """Every delivery that matches, of those that exist when the action starts. `{}` matches all."""
    delivery_ids: Annotated[
        tuple[DeliveryName, ...], Field(max_length=SELECTED_LIMIT, strict=False)
    ] = ()
    """Only these deliveries."""
    below: DeliveryName | None = None
    """Only deliveries that were there when they were counted: the `below` of the count."""
    rate: Annotated[int, Field(ge=1, le=RATE_LIMIT)] | None = None
    """Deliveries a second. If it is missing, as fast as possible."""
    dry_run: bool = False
    """Whether to only count the deliveries."""

    @model_validator(mode="after")
    def _has_one_selection(self) -> Self:
        if (self.filters is None) != bool(self.delivery_ids):
            raise ValueError("give either filters or ids of deliveries; the filters may be {}")
        return self
