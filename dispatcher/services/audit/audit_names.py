"""Name the actors and the subjects of audit entries."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from uuid import UUID

from dispatcher.store.queries.audit import Audit, AuditIds, AuditNameRow, AuditRow
from dispatcher.store.session import Queryable

SubjectKind = Literal[
    "webhook",
    "token",
    "environment",
    "event_type",
    "delivery",
    "bulk_action",
    "quarantine",
    "other",
]

_KINDS: Final[Mapping[str, SubjectKind]] = {
    "webhook": "webhook",
    "token": "token",
    "environment": "environment",
    "sending": "environment",
    "event_type": "event_type",
    "quarantine": "quarantine",
}
_NAMED: Final = ("webhook", "token", "environment", "event_type")
"""The kinds whose objects have a name."""
_TOKEN: Final = "token:"  # noqa: S105 - the beginning of an actor, not a secret


def subject_kind(action: str, subject: str) -> SubjectKind:
    """Return what kind of object an entry is about."""
    noun = action.partition(".")[0]
    if noun == "delivery":
        return "bulk_action" if subject.startswith("blk_") else "delivery"
    return _KINDS.get(noun, "other")


class Names:
    """The names of actors and subjects. Those that are not known are None."""

    def __init__(self, rows: Iterable[AuditNameRow]) -> None:
        self._rows = {(row["kind"], row["id"]): row for row in rows}

    def actor(self, row: AuditRow) -> str | None:
        """Return the name of the token that an actor used."""
        token = self._rows.get(("token", row["actor"].removeprefix(_TOKEN)))
        return None if token is None else token["name"]

    def subject(self, row: AuditRow) -> AuditNameRow | None:
        """Return the name of a subject, and whether it is gone."""
        kind = subject_kind(row["action"], row["subject"])
        if kind == "event_type":
            return self._rows.get((kind, f"{row['environment_id']}/{row['subject']}"))
        return self._rows.get((kind, row["subject"])) if kind in _NAMED else None


def is_looked_up(action: str, subject: str) -> bool:
    """Return True if it is known whether the subject still exists."""
    return subject_kind(action, subject) in _NAMED and subject != "*"


async def read_names(session: Queryable, rows: Iterable[AuditRow]) -> Names:
    """Return the names that some entries need, by one statement."""
    tokens: set[UUID] = set()
    endpoints: set[UUID] = set()
    environments: set[str] = set()
    event_types: set[tuple[str, str]] = set()
    for row in rows:
        kind, subject = subject_kind(row["action"], row["subject"]), row["subject"]
        if row["actor"].startswith(_TOKEN):
            tokens |= _uuids(row["actor"].removeprefix(_TOKEN))
        if kind == "token":
            tokens |= _uuids(subject)
        elif kind == "webhook":
            endpoints |= _uuids(subject)
        elif kind == "environment":
            environments.add(subject)
        elif kind == "event_type" and row["environment_id"] is not None:
            event_types.add((row["environment_id"], subject))
    if not (tokens or endpoints or environments or event_types):
        return Names(())
    ids = AuditIds(tokens, endpoints, environments, event_types)
    return Names(await Audit(session).names(ids))


async def token_names(session: Queryable, actors: Iterable[str]) -> Mapping[str, str]:
    """Return the names of the tokens of actors, by actor. Actors without a token are left out."""
    by_id = {
        str(id_): actor
        for actor in actors
        if actor.startswith(_TOKEN)
        for id_ in _uuids(actor.removeprefix(_TOKEN))
    }
    ids = AuditIds([UUID(id_) for id_ in by_id], (), (), ())
    rows = await Audit(session).names(ids) if by_id else ()
    return {by_id[row["id"]]: row["name"] for row in rows}


def _uuids(text: str) -> set[UUID]:
    """Return the id, or none if the text is not one."""
    try:
        return {UUID(text)}
    except ValueError:
        return set()
