"""Define the inputs for bulk actions."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.services.inputs.recoveries import RATE_MOST

SELECTED_MOST = 200
"""Most deliveries that one bulk action names one by one."""


class NewBulkAction(Form):
    """Retry or cancel the deliveries that a filter selects, or those that are named."""

    action: Literal["retry", "cancel"]
    filters: DeliveryFilters = DeliveryFilters()
    """Every delivery that matches, of those that exist when the action starts."""
    webhook_id: Annotated[UUID, Field(strict=False)] | None = None
    """Only deliveries to this webhook."""
    below: Annotated[int, Field(ge=0, strict=False)] | None = None
    """Only deliveries with an id below this one: those that were there when they were counted."""
    delivery_ids: Annotated[tuple[str, ...], Field(max_length=SELECTED_MOST, strict=False)] = ()
    """Only these deliveries, whatever the filters."""
    rate: Annotated[int, Field(ge=1, le=RATE_MOST, strict=False)] | None = None
    """Deliveries a second. If it is missing, as fast as possible."""
