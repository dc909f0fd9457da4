"""Events, event types, tokens, the audit and quarantine, as a visitor finds and changes them."""

from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


async def test_an_event_is_emitted_found_and_shown_letter_for_letter(visitor: Visitor) -> None:
    assert "No events yet" in (await visitor.get("/events")).text
    page = await visitor.post("/events/new", {"type": "user.created", "data": '{"n": 1.10}'})
    assert page.below.startswith("/events/evt_")
    assert "1.10" in page.text
    listed = await visitor.get("/events?type=user.*")
    assert page.path.split("?")[0] in listed.text
    assert "Nothing found" in (await visitor.get("/events?type=role.*")).text


async def test_an_invalid_event_is_reported_in_its_form(visitor: Visitor) -> None:
    wrong = await visitor.post("/events/new", {"type": "webhook.test", "data": "{}"})
    assert (wrong.status, "reserved" in wrong.text) == (422, True)
    broken = await visitor.post("/events/new", {"type": "a.b", "data": "{nope"})
    assert (broken.status, "not JSON" in broken.text) == (422, True)
    assert "{nope" in broken.text


async def test_an_invalid_filter_is_shown_as_an_error(visitor: Visitor) -> None:
    page = await visitor.get("/events?type=..&before=nonsense")
    assert (page.status, "not a pattern" in page.text) == (200, True)


async def test_an_event_type_is_described_changed_and_deleted(
    visitor: Visitor, database: Connection, home: str
) -> None:
    fields: dict[str, str | list[str]] = {
        "name": "user.created",
        "description": "A user",
        "example": '{"id": 1.50}',
    }
    assert "Created." in (await visitor.post("/event-types/new", fields)).text
    shown = await visitor.get("/event-types/of/user.created")
    assert "A user" in shown.text
    changed = await visitor.post("/event-types/of/user.created", {"description": "Other"})
    assert "Saved." in changed.text
    wrong = await visitor.post("/event-types/of/user.created", {"schema": "{"})
    assert (wrong.status, "is not JSON" in wrong.text) == (422, True)
    await visitor.post("/event-types/of/user.created/delete")
    stored = "SELECT count(*) FROM dispatcher.event_types WHERE environment_id = $1"
    assert await database.fetchval(stored, home) == 0


async def test_a_catalogue_that_comes_with_the_program_is_taken_in(visitor: Visitor) -> None:
    assert "user.created" in (await visitor.post("/event-types", {"catalogue": "paylent"})).text
    assert (await visitor.post("/event-types", {"catalogue": "../x"})).status == 404


async def test_a_token_is_shown_once_and_revoked(
    visitor: Visitor, database: Connection, standing: Api
) -> None:
    made = await visitor.post("/tokens", {"name": "for a test", "scope": "read", "expires": "30"})
    text = made.text[made.text.index("dsp_") :][:47]
    assert (await standing.client_with_token(text)("GET", "/api/webhooks")).status == 200
    listed = await visitor.get("/tokens")
    assert "for a test" in listed.text
    assert text not in listed.text
    token_id = await database.fetchval("SELECT id FROM dispatcher.tokens WHERE name = 'for a test'")
    await visitor.post(f"/tokens/{token_id}/revoke")
    assert (await standing.client_with_token(text)("GET", "/api/webhooks")).status == 401
    assert (await visitor.post("/tokens/nonsense/revoke")).status == 404


async def test_a_read_token_is_offered_no_action_and_can_take_none(
    standing: Api, stranger: Visitor, database: Connection, home: str
) -> None:
    await stranger.sign_in(await standing.token("read", home))
    for path in ("/webhooks", "/events", "/event-types", "/quarantine"):
        assert (await stranger.get(path)).status == 200
    for path in ("/tokens", "/audit", "/events/new", "/webhooks/new"):
        assert (await stranger.get(path)).status == 403
    for path, fields in (
        ("/webhooks/new", {"url": "http://127.0.0.1/", "patterns": "*"}),
        ("/events/new", {"type": "a", "data": "{}"}),
        ("/event-types/new", {"name": "a"}),
        ("/tokens", {"name": "a"}),
    ):
        assert (await stranger.post(path, dict(fields))).status == 403
    for table in ("endpoints", "events", "event_types"):
        stored = f"SELECT count(*) FROM dispatcher.{table} WHERE environment_id = $1"  # noqa: S608 - names of our own
        assert await database.fetchval(stored, home) == 0


async def test_text_of_others_is_shown_as_text(
    visitor: Visitor, admin: Client, database: Connection, home: str
) -> None:
    await admin("PUT", "/api/event-types/a.b", {"description": HOSTILE.replace("\x1b", "")})
    await admin("POST", "/api/events", {"type": "a.b", "data": {"x": HOSTILE}})
    name = await database.fetchval(
        "SELECT 'evt_' || id FROM dispatcher.events WHERE environment_id = $1", home
    )
    for path in ("/event-types", "/event-types/of/a.b", "/events/new", f"/events/{name}"):
        text = (await visitor.get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
        if "/of/" not in path:  # a field that is edited holds what it holds
            assert "\u202e" not in text


async def test_the_audit_page_shows_actor_and_action(visitor: Visitor) -> None:
    await visitor.post("/event-types/new", {"name": "a.b"})
    page = await visitor.get("/audit?action=event_type.create")
    assert "a.b" in page.text
    assert "Nothing found" in (await visitor.get("/audit?action=token.revoke")).text


async def test_quarantined_events_are_released_or_discarded(
    visitor: Visitor, database: Connection, home: str
) -> None:
    assert "Nothing is in quarantine" in (await visitor.get("/quarantine")).text
    fields: dict[str, str | list[str]] = {
        "name": "a.b",
        "schema": '{"type":"object","required":["id"]}',
        "enforce": "on",
    }
    await visitor.post("/event-types/new", fields)
    for _ in range(2):
        await visitor.post("/events/new", {"type": "a.b", "data": "{}"})
    stored = "SELECT count(*) FROM dispatcher.quarantine WHERE environment_id = $1"
    for _ in range(200):
        if await database.fetchval(stored, home) == 2:
            break
        await database.execute("SELECT pg_sleep(0.05)")
    page = await visitor.get("/quarantine")
    assert "id" in page.text
    first, second = await database.fetch(
        "SELECT 'q_' || id FROM dispatcher.quarantine WHERE environment_id = $1", home
    )
    assert "Released" in (await visitor.post(f"/quarantine/{first[0]}/release")).text
    assert "Discarded" in (await visitor.post(f"/quarantine/{second[0]}/discard")).text
    assert await database.fetchval(stored, home) == 0
