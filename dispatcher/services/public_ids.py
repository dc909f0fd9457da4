"""Read the ids that people give, and make the errors for objects that do not exist.

Each function that returns a number raises NotFoundError if the text is no such id.
"""

from collections.abc import Callable
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.errors import NotFoundError

SHOWN_LIMIT_CHARACTERS = 64
"""Most characters of an id that an error repeats."""


def no_environment(environment_id: str | None) -> NotFoundError:
    """Return the error for an environment that does not exist, or is not the caller's."""
    return NotFoundError(f"There is no environment {_shown(environment_id or '')}. Check its id.")


def no_webhook(webhook_id: UUID | None) -> NotFoundError:
    """Return the error for a webhook that the environment does not have."""
    return NotFoundError(f"There is no webhook {webhook_id}. Check its id and the environment.")


def no_event(name: str) -> NotFoundError:
    """Return the error for an event that the environment does not have, or no longer."""
    return _no_history("event", name)


def no_delivery(name: str) -> NotFoundError:
    """Return the error for a delivery that the environment does not have, or no longer."""
    return _no_history("delivery", name)


def no_bulk_action(name: str) -> NotFoundError:
    """Return the error for a bulk action that the environment does not have."""
    return NotFoundError(
        f"There is no bulk action {_shown(name)}. Check its id and the environment."
    )


def no_recovery(name: str) -> NotFoundError:
    """Return the error for a replay that the webhook does not have."""
    return NotFoundError(f"There is no recovery {_shown(name)}. Check its id and its webhook.")


def no_quarantined_event(name: str) -> NotFoundError:
    """Return the error for an entry that is not in quarantine, or no longer."""
    return NotFoundError(
        f"There is no {_shown(name)} in quarantine. It may have been released or discarded."
    )


def event_number(name: str) -> int:
    """Return the number of an event's id."""
    return _number(ids.EVENT_PREFIX, name, no_event)


def delivery_number(name: str) -> int:
    """Return the number of a delivery's id."""
    return _number(ids.DELIVERY_PREFIX, name, no_delivery)


def bulk_action_number(name: str) -> int:
    """Return the number of a bulk action's id."""
    return _number(ids.BULK_ACTION_PREFIX, name, no_bulk_action)


def recovery_number(name: str) -> int:
    """Return the number of a replay's id."""
    return _number(ids.RECOVERY_PREFIX, name, no_recovery)


def quarantine_number(name: str) -> int:
    """Return the number of the id of an entry in quarantine."""
    return _number(ids.QUARANTINE_PREFIX, name, no_quarantined_event)


def _number(prefix: str, name: str, missing: Callable[[str], NotFoundError]) -> int:
    number = ids.parse_or_none(prefix, name)
    if number is None:
        raise missing(name)
    return number


def _no_history(noun: str, name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no {noun} {_shown(name)}. Check its id and the environment. It may be too old to"
        " be kept."
    )


def _shown(name: str) -> str:
    return repr(name[:SHOWN_LIMIT_CHARACTERS])
