"""Define the inputs for replays, which the API calls recoveries."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from dispatcher.services.inputs.base import Form, Moment

RATE_LIMIT = 100_000


class NewRecovery(Form):
    """Send again what a webhook did not receive in a past time span."""

    since: Moment
    """Start of the time span.

    A failed delivery counts by the time when it was made, a missed event by the time when it was
    emitted.
    """
    until: Moment | None = None
    """End of the time span. If it is missing or in the future, the end is now."""
    missed: bool = True
    """Whether to include missed events.

    The webhook subscribes to them now, but no delivery was made for it: it was disabled, or did
    not subscribe or exist yet. Events whose attempts are no longer kept are left out.
    """
    rate: Annotated[int, Field(ge=1, le=RATE_LIMIT)] | None = None
    """Deliveries a second. If it is missing, as fast as the webhook accepts them."""
    dry_run: bool = False
    """Whether to only count what would be sent."""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.until is not None and self.until <= self.since:
            raise ValueError("until must be after since")
        return self
