"""An audit entry in words."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import dispatcher
from dispatcher.core.ids import LARGEST_ID
from dispatcher.core.model import RawJson
from dispatcher.dashboard.words.audit_words import (
    ACTIONS,
    VALUE_LIMIT_CHARACTERS,
    Subject,
    actor_words,
    choices,
    detail_text,
    line,
)
from dispatcher.services.audit.audit_log import AuditEntry, KnownActor

TOKEN = "token:00000000-0000-4000-8000-000000000001"


def entry(
    action: str = "webhook.update",
    subject: str = "w1",
    *,
    actor: str = "cli:root",
    detail: str = "{}",
    name: str | None = None,
    exists: bool | None = True,
) -> AuditEntry:
    return AuditEntry(
        id="aud_1",
        at=datetime(2026, 11, 29, tzinfo=UTC),
        environment_id="env_default",
        actor=actor,
        action=action,
        subject=subject,
        detail=RawJson(detail),
        request_id=None,
        address=None,
        via=None,
        actor_name=None,
        subject_name=name,
        subject_exists=exists,
    )


@pytest.mark.parametrize(
    ("actor", "name", "words"),
    [
        (TOKEN, "Ada", "Ada"),
        (TOKEN, None, "a token that is no longer kept"),
        ("token:bootstrap", None, "the root token"),
        ("cli:root", None, "root"),
        ("dispatcher", None, "Dispatcher"),
        ("demo", None, "demo"),
    ],
)
def test_an_actor_has_a_name(actor: str, name: str | None, words: str) -> None:
    assert actor_words(actor, name) == words


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (
            entry(name="Billing"),
            Subject("webhook", "Billing", ("webhook", {"webhook_id": "w1"}), None),
        ),
        (entry(name="Billing", exists=False), Subject("webhook", "Billing", None, "deleted")),
        (
            entry("token.revoke", "t1", name="Ada", exists=False),
            Subject("token", "Ada", ("tokens", {}), "revoked"),
        ),
        (
            entry("delivery.retry", "dlv_1", exists=None),
            Subject("delivery", "dlv_1", ("delivery", {"delivery_id": "dlv_1"}), None),
        ),
        (
            entry("delivery.retry_many", "blk_1", exists=None),
            Subject("bulk action", "blk_1", ("bulk_action", {"bulk_action_id": "blk_1"}), None),
        ),
        (
            entry("quarantine.release", "q_1", exists=None, detail='{"event_id": "evt_7"}'),
            Subject("quarantine", "q_1", ("event", {"event_id": "evt_7"}), None),
        ),
        (entry("sending.pause", "*", exists=None), Subject("", "every environment", None, None)),
        (
            entry("event_type.update", "a.b", name="a.b"),
            Subject("event type", "a.b", ("event_type", {"name": "a.b"}), None),
        ),
        (entry("seed.run", "x", exists=None), Subject("other", "x", None, None)),
    ],
)
def test_a_subject_has_a_name_and_a_link_while_it_exists(
    shown: AuditEntry, expected: Subject
) -> None:
    assert line(shown).subject == expected


def test_values_are_texts_and_long_ones_are_cut() -> None:
    long = "x" * (VALUE_LIMIT_CHARACTERS + 1)
    detail = (
        '{"changed": ["active", "events", "rate_limit", "tls"], "active": false, "rate_limit": null,'
        ' "expires_at": "2026-11-30T09:07:00.097600+00:00", "name": "2026-99-30T09:07:00+00:00",'
        f' "events": ["a", "b"], "before": {{"active": true, "events": []}}, "url": "{long}"}}'
    )
    assert line(entry(detail=detail)).changes == (
        ("active", "yes", "no"),
        ("events", "none", "a, b"),
        ("rate limit", None, "none"),
        ("tls", None, None),
        ("expires at", None, "2026-11-30 09:07:00 UTC"),
        ("name", None, "2026-99-30T09:07:00+00:00"),
        ("url", None, f"{'x' * VALUE_LIMIT_CHARACTERS}…"),
    )
    assert line(entry(detail="[1]")).changes == ()


def test_the_chosen_actor_is_among_the_choices() -> None:
    actors = (KnownActor("cli:root", None), KnownActor(TOKEN, "Ada"))
    assert choices(actors, "cli:bob") == [
        (TOKEN, "Ada"),
        ("cli:bob", "cli:bob"),
        ("cli:root", "root (command line)"),
    ]


def test_the_filter_offers_every_action_that_is_written() -> None:
    services = Path(dispatcher.__file__).parent / "services"
    nouns = "|".join(sorted({action.partition(".")[0] for action in ACTIONS}))
    literal = re.compile(rf'"((?:{nouns})\.[a-z_]+)"')
    written = {
        action
        for path in services.rglob("*.py")
        for action in literal.findall(path.read_text())
        if action not in ("webhook.test", "delivery.exhausted")
    }
    # Those of bulk actions are composed, and quarantined events expire in the database.
    composed = {"delivery.retry_many", "delivery.cancel_many", "quarantine.expire", "webhook.test"}
    assert written | composed == set(ACTIONS)


@pytest.mark.parametrize(
    ("filters", "filtered"),
    [
        (
            {"low": 0, "high": 5, "status": "FAILED", "code_from": 500, "code_to": 599},
            "failed, response 5xx, made before ",
        ),
        ({"low": 0, "high": LARGEST_ID}, "selected one by one"),
        ({"nonsense": 1}, "selected one by one"),
        (None, "selected one by one"),
    ],
)
def test_a_bulk_action_is_said_in_words(filters: object, filtered: str) -> None:
    detail = json.dumps({"deliveries": None, "filters": filters})
    shown = line(entry("delivery.retry_many", "blk_1", exists=None, detail=detail))
    assert shown.filtered is not None
    assert shown.filtered[0].startswith(filtered)
    assert (shown.filtered[1] is None) == (filtered == "selected one by one")
    assert shown.changes == (("deliveries", None, "more than were counted"),)


@pytest.mark.parametrize(
    ("action", "detail", "text"),
    [
        (
            "webhook.update",
            {"changed": ["name", "tls"], "name": "New", "before": {"name": "Old"}},
            "name Old → New, tls changed",
        ),
        (
            "delivery.cancel_many",
            {"deliveries": 3, "filters": {"low": 0, "high": LARGEST_ID}},
            "selected one by one, deliveries 3",
        ),
        ("webhook.test", {}, ""),
    ],
)
def test_a_change_is_one_line_on_a_terminal(
    action: str, detail: dict[str, object], text: str
) -> None:
    assert detail_text(action, detail, datetime(2026, 11, 29, tzinfo=UTC)) == text
