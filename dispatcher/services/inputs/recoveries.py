"""What may be asked of recoveries."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from dispatcher.core.pagination import DEFAULT_LIMIT
from dispatcher.services.inputs.base import Form, Limit, Moment

RATE_MOST = 100_000


class NewRecovery(Form):
    """Send again what a webhook did not get in a time that is over."""

    since: Moment
    """From when on: of failed deliveries the time they were made, of missed events that of the event."""
    until: Moment | None = None
    """Until when; without it, or if it is in the future, until now."""
    missed: bool = True
    """Also events that the webhook is subscribed to now and was never owed: it was disabled, or not
    there yet. Those whose attempts are no longer kept are left out."""
    rate: Annotated[int, Field(ge=1, le=RATE_MOST)] | None = None
    """Deliveries a second; without it, as fast as the webhook takes them."""
    dry_run: bool = False
    """Only count what would be sent."""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.until is not None and self.until <= self.since:
            raise ValueError("until must be after since")
        return self


class RecoveryQuery(Form):
    """A page of the recoveries of a webhook."""

    cursor: str | None = None
    limit: Limit = DEFAULT_LIMIT
