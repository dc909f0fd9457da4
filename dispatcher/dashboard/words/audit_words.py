"""Say in words who changed what, from the entries of the audit log. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from dispatcher.core import times
from dispatcher.dashboard.words import bulk_action_words
from dispatcher.services.access.token_authentication import ROOT_ACTOR
from dispatcher.services.audit.audit_changes import UNKNOWN, FieldChange, field_changes
from dispatcher.services.audit.audit_log import AuditEntry, KnownActor
from dispatcher.services.audit.audit_names import SubjectKind, subject_kind
from dispatcher.services.deliveries.bulk_actions import BulkActionFilters

VALUE_LIMIT_CHARACTERS: Final = 300
"""Most characters of one value that a list shows."""
UNCOUNTED: Final = "more than were counted"
ACTIONS: Final = (
    "delivery.cancel",
    "delivery.cancel_bulk_action",
    "delivery.cancel_many",
    "delivery.retry",
    "delivery.retry_many",
    "delivery.sign",
    "environment.create",
    "environment.rename",
    "event_type.create",
    "event_type.delete",
    "event_type.update",
    "key.rotate",
    "quarantine.discard",
    "quarantine.expire",
    "quarantine.release",
    "sending.pause",
    "sending.resume",
    "token.create",
    "token.revoke",
    "webhook.cancel_recovery",
    "webhook.create",
    "webhook.delete",
    "webhook.recover",
    "webhook.rotate_secret",
    "webhook.test",
    "webhook.update",
)
"""The actions that the filter offers."""
_MOMENT: Final = re.compile(r"2\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", re.ASCII)
_BULK_ACTIONS: Final = ("delivery.retry_many", "delivery.cancel_many")
_VIA: Final[Mapping[str | None, str]] = {"api": "by the API", "dashboard": "in the dashboard"}
_PAGES: Final[Mapping[SubjectKind, tuple[str, str]]] = {
    "webhook": ("webhook", "webhook_id"),
    "event_type": ("event_type", "name"),
    "delivery": ("delivery", "delivery_id"),
    "bulk_action": ("bulk_action", "bulk_action_id"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What an entry is about: `text` is its name, or its id if it has none.

    `page` is the page to link to with its parameters, None if there is none. `gone` says that it no
    longer exists.
    """

    kind: str
    text: str
    page: tuple[str, Mapping[str, str]] | None
    gone: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as a list shows it. `before` and `after` of a change are texts, or None.

    `filtered` is the filter of a bulk action: its words, and the query of the page of these
    deliveries, which is None if they were named one by one.
    """

    entry: AuditEntry
    actor: str
    via: str
    subject: Subject
    changes: tuple[tuple[str, str | None, str | None], ...]
    filtered: tuple[str, Mapping[str, str] | None] | None = None


def filtered_webhook(entry: AuditEntry) -> UUID | None:
    """Return the webhook that the filter of a bulk action names, None if it names none."""
    filters = _filters(entry.action, _detail(entry))
    return None if filters is None else filters.webhook_id


def line(entry: AuditEntry, webhook_names: Mapping[UUID, str] | None = None) -> Line:
    """Return an entry in words. `webhook_names` are those of filters."""
    detail = _detail(entry)
    filtered = None
    if entry.action in _BULK_ACTIONS:
        filters = _filters(entry.action, detail)
        text = bulk_action_words.words(filters, webhook_names or {}, entry.at)
        filtered = (text, None if filters is None else bulk_action_words.query(filters))
        detail = _counted(detail)
    return Line(
        entry=entry,
        actor=actor_words(entry.actor, entry.actor_name),
        via=_VIA.get(entry.via, "on the command line" if entry.actor.startswith("cli:") else ""),
        subject=_subject(entry, detail),
        changes=tuple(_change(change) for change in field_changes(detail)),
        filtered=filtered,
    )


def _detail(entry: AuditEntry) -> dict[str, object]:
    parsed = json.loads(entry.detail)
    return parsed if isinstance(parsed, dict) else {}


def detail_text(action: str, detail: Mapping[str, object], at: datetime) -> str:
    """Return what an entry says about its change in one line, as in `name Billing → Invoices`."""
    phrases = []
    if action in _BULK_ACTIONS:
        phrases.append(bulk_action_words.words(_filters(action, detail), {}, at))
        detail = _counted(detail)
    for name, before, after in map(_change, field_changes(detail)):
        value = "changed" if after is None else after
        phrases.append(f"{name} {value}" if before is None else f"{name} {before} → {value}")
    return ", ".join(phrases)


def _counted(detail: Mapping[str, object]) -> dict[str, object]:
    """Return a detail that holds only the number of deliveries of a bulk action."""
    counted = detail.get("deliveries")
    return {"deliveries": UNCOUNTED if counted is None else counted}


def _filters(action: str, detail: Mapping[str, object]) -> BulkActionFilters | None:
    if action not in _BULK_ACTIONS:
        return None
    return BulkActionFilters.from_audit(detail.get("filters"))


def actor_words(actor: str, token_name: str | None) -> str:
    """Return the name of a token or of a user, or the actor as it is."""
    kind, _, rest = actor.partition(":")
    if actor == f"token:{ROOT_ACTOR}":
        return "the root token"
    if kind == "token":
        return token_name or "a token that is no longer kept"
    if kind == "cli":
        return rest
    return "Dispatcher" if actor == "dispatcher" else actor


def choices(actors: tuple[KnownActor, ...], chosen: str) -> list[tuple[str, str]]:
    """Return the actors to choose from, each with its words. The chosen one is among them."""
    words = {actor.id: _choice(actor) for actor in actors}
    if chosen and chosen not in words:
        words[chosen] = chosen
    return sorted(words.items(), key=lambda item: item[1].lower())


def _choice(actor: KnownActor) -> str:
    words = actor_words(actor.id, actor.token_name)
    kind = actor.id.partition(":")[0]
    if kind == "cli":
        return f"{words} (command line)"
    if kind == "token" and actor.token_name is None:
        return words if actor.id.endswith(ROOT_ACTOR) else actor.id
    return words


def _subject(entry: AuditEntry, detail: Mapping[str, object]) -> Subject:
    kind = subject_kind(entry.action, entry.subject)
    text = entry.subject_name or entry.subject
    if kind == "environment" and entry.subject == "*":
        return Subject("", "every environment", None, None)
    gone = None
    if entry.subject_exists is False:
        gone = "revoked" if kind == "token" else "deleted"
    page = None if gone == "deleted" else _page(entry, kind, detail)
    return Subject(kind.replace("_", " "), text, page, gone)


def _page(
    entry: AuditEntry, kind: SubjectKind, detail: Mapping[str, object]
) -> tuple[str, Mapping[str, str]] | None:
    if kind == "token":
        return "tokens", {}
    if kind == "environment":
        return "overview", {}
    if kind == "quarantine" and isinstance(detail.get("event_id"), str):
        return "event", {"event_id": str(detail["event_id"])}
    if kind not in _PAGES:
        return None
    name, parameter = _PAGES[kind]
    return name, {parameter: entry.subject}


def _change(change: FieldChange) -> tuple[str, str | None, str | None]:
    return change.name.replace("_", " "), _text(change.before), _text(change.after)


def _text(value: object) -> str | None:
    """Return a value as people read it, None if it is not recorded."""
    if value is UNKNOWN:
        return None
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "none"
    else:
        text = _moment(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_LIMIT_CHARACTERS else f"{text[:VALUE_LIMIT_CHARACTERS]}…"


def _moment(text: str) -> str:
    """Return a time of the log as pages write it, and any other text as it is."""
    if _MOMENT.fullmatch(text) is None:
        return text
    try:
        return times.exact(datetime.fromisoformat(text))
    except ValueError:  # a name that only looks like a time
        return text
