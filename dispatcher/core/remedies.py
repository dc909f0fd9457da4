"""What to do about a problem, in words that log lines and commands share."""

from collections.abc import Iterable

DROPPED = " (dropped)"
DEFINITIONS = {
    "event_checked": "CREATE TRIGGER event_checked BEFORE INSERT ON dispatcher.events FOR EACH ROW"
    " EXECUTE FUNCTION dispatcher.event_checked();",
    "events_inserted": "CREATE TRIGGER events_inserted AFTER INSERT ON dispatcher.events"
    " REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
    " EXECUTE FUNCTION dispatcher.events_inserted();",
    "event_replicated": "CREATE TRIGGER event_replicated AFTER INSERT ON dispatcher.events FOR EACH"
    " ROW WHEN (NEW.source <> 'directed') EXECUTE FUNCTION dispatcher.event_replicated();",
}
"""The triggers that must fire, as the migrations create them."""
ROLES = {"event_checked": "ALWAYS ", "event_replicated": "REPLICA "}
"""How to enable the triggers that also (ALWAYS) or only (REPLICA) fire for replicated events."""


def of_disabled_triggers(names: Iterable[str]) -> str:
    """Return how to bring triggers back, and how to send the events that they missed.

    A name is `trigger` for the table of events, `trigger on table` for one of its partitions, or
    `trigger (dropped)` for one that is missing and so cannot be enabled.
    """
    statements = " ".join(_mend(name) for name in names)
    return (
        f"run in psql: {statements} Then send the events that were inserted while they did not"
        " fire: dispatcher replay --since TIME, with a time before that"
    )


def _mend(name: str) -> str:
    if name.endswith(DROPPED):
        trigger = name.removesuffix(DROPPED)
        created = DEFINITIONS[trigger]
        return f"{created} {_enable(trigger)}" if trigger in ROLES else created
    return _enable(name)


def _enable(name: str) -> str:
    trigger, _, table = name.partition(" on ")
    role = ROLES.get(trigger, "")
    return f"ALTER TABLE dispatcher.{table or 'events'} ENABLE {role}TRIGGER {trigger};"
