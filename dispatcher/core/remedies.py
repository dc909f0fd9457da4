"""What to do about a problem, in words that log lines and commands share."""

from collections.abc import Iterable


def of_disabled_triggers(names: Iterable[str]) -> str:
    """Return how to enable triggers, and how to send the events that they missed.

    A name is `trigger` for the table of events, or `trigger on table` for one of its partitions.
    """
    statements = " ".join(_enable(name) for name in names)
    return (
        f"run in psql: {statements} Then send the events that were inserted while they were"
        " disabled: dispatcher replay --since TIME, with a time before that"
    )


def _enable(name: str) -> str:
    trigger, _, table = name.partition(" on ")
    return f"ALTER TABLE dispatcher.{table or 'events'} ENABLE TRIGGER {trigger};"
