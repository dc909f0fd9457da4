"""Track the time that schema checks take, so that no environment and no type delays the others.

Pure: times are arguments, in monotonic seconds.
"""

from collections.abc import Iterable, Sequence

from dispatcher.store.queries.unvalidated_events import Waiting

ENVIRONMENT_SECONDS = 0.05
"""Time of checks in a pass after which an environment's other events wait for the next pass."""
ENVIRONMENTS_LIMIT = 1_000
"""Environments whose cost is remembered, so that memory stays small."""
SUSPENDED_SECONDS = 10.0
"""Seconds without a check of a type after a check of it was too expensive: its events go to
quarantine, where they can be released. Otherwise a few of them would delay all other types."""


class SchemaCheckCosts:
    """The costs of the checks, by environment and by type."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        # The seconds of each environment's latest check.
        self._latest: dict[str, float] = {}
        # By environment and type: the schema whose check was too expensive, and until when it
        # rests.
        self._suspended: dict[tuple[str, str], tuple[str, float]] = {}

    def begin_pass(self) -> None:
        """Give each environment its part of a new pass."""
        self._spent = {}

    def cheapest_first(self, events: Iterable[Waiting]) -> Sequence[Waiting]:
        """Return the events, those of environments with the cheapest latest check first."""
        return sorted(events, key=lambda event: self._latest.get(event.environment_id, 0.0))

    def has_spent_its_part(self, environment_id: str) -> bool:
        """Return True if the environment's other events are to wait for the next pass."""
        return self._spent.get(environment_id, 0.0) > ENVIRONMENT_SECONDS

    def note_check(self, environment_id: str, seconds: float) -> None:
        """Note that a check of an event of this environment took `seconds`."""
        self._spent[environment_id] = self._spent.get(environment_id, 0.0) + seconds
        self._latest.pop(environment_id, None)
        self._latest[environment_id] = seconds
        if len(self._latest) > ENVIRONMENTS_LIMIT:
            del self._latest[next(iter(self._latest))]

    def is_suspended(self, event: Waiting, schema: str, now: float) -> bool:
        """Return True if events of this type are not checked now against this schema."""
        suspended, until = self._suspended.get((event.environment_id, event.type), (schema, 0.0))
        return suspended == schema and now < until

    def note_result(
        self, event: Waiting, schema: str, now: float, *, is_too_expensive: bool
    ) -> None:
        """Note the result of a check: a type whose check was too expensive is suspended."""
        key = (event.environment_id, event.type)
        if is_too_expensive:
            self._suspended = {k: v for k, v in self._suspended.items() if now < v[1]}
            self._suspended[key] = (schema, now + SUSPENDED_SECONDS)
        else:
            self._suspended.pop(key, None)
