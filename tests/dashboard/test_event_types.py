"""The form of an event type changes what a person changed in it, and nothing else."""

import asyncio
import json
from typing import Any

import pytest

from dispatcher.services import shipped_catalogs
from tests.api.conftest import Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor

NAME = "user.created"
PATH = f"/event-types/of/{NAME}"
SCHEMA = {"type": "object", "required": ["id"]}
Fields = dict[str, str | list[str]]


async def put(admin: Client, **fields: object) -> None:
    assert (await admin("PUT", f"/api/event-types/{NAME}", fields)).status in (200, 201)


async def stored(admin: Client) -> dict[str, Any]:
    """Return what people may change of the type."""
    event_type = (await admin("GET", f"/api/event-types/{NAME}")).data
    return {name: event_type[name] for name in ("description", "example", "schema", "enforce")}


async def submit(visitor: Visitor, opened: Page, **typed: str) -> Page:
    """Send the form of a page as it was opened, with these fields typed into it.

    Browsers end lines with a carriage return and a line feed.
    """
    form = opened.markup.form(NAME)
    sent = {name: str(value).replace("\n", "\r\n") for name, value in form.fields.items()}
    return await visitor.submit(form, **{**sent, **typed})


async def test_a_concurrent_change_is_not_undone(visitor: Visitor, admin: Client) -> None:
    await put(admin, description="A usr")
    opened = await visitor.get(PATH)
    await put(admin, schema=SCHEMA, enforce=True)
    late = await submit(visitor, opened, description="A user")
    assert (late.status, "Another user has changed" in late.text) == (409, True)
    assert late.markup.form(NAME).fields["description"] == "A user", "what was typed is kept"
    theirs = {"description": "A usr", "example": None, "schema": SCHEMA, "enforce": True}
    assert await stored(admin) == theirs
    again = await submit(visitor, late)
    assert again.status == 409
    saved = await submit(visitor, await visitor.get(PATH), description="A user", enforce="on")
    assert "Saved." in saved.text
    assert await stored(admin) == {**theirs, "description": "A user"}


@pytest.mark.parametrize("revision", ["9" * 5000, "0", "1"])
async def test_a_form_with_another_revision_changes_nothing(
    visitor: Visitor, admin: Client, revision: str
) -> None:
    await put(admin, description="A user")
    late = await visitor.post(PATH, {"description": "Other", "revision": revision})
    assert late.status == 409
    assert (await stored(admin))["description"] == "A user"


async def test_a_type_that_was_deleted_is_not_created_again(
    visitor: Visitor, admin: Client
) -> None:
    await put(admin, description="A user")
    opened = await visitor.get(PATH)
    await admin("DELETE", f"/api/event-types/{NAME}")
    late = await submit(visitor, opened, description="Other")
    assert (late.status, "changed or deleted" in late.text) == (409, True)
    assert (await admin("GET", f"/api/event-types/{NAME}")).status == 404


async def test_a_form_for_a_new_type_does_not_replace_one_of_others(
    visitor: Visitor, admin: Client
) -> None:
    fields: Fields = {"name": NAME, "description": "Mine", "example": "", "schema": ""}
    await put(admin, description="Theirs", schema=SCHEMA, enforce=True)
    late = await visitor.post("/event-types/new", fields)
    assert (late.status, "is in the catalogue already" in late.text) == (409, True)
    assert 'id="name-error"' in late.text
    theirs = {"description": "Theirs", "example": None, "schema": SCHEMA, "enforce": True}
    assert await stored(admin) == theirs


async def test_a_form_that_is_sent_twice_is_done_once(
    visitor: Visitor, admin: Client, database: Connection, home: str
) -> None:
    fields: Fields = {"name": NAME, "description": "Mine", "example": '{"id":1}', "schema": ""}
    pages = [await visitor.post("/event-types/new", fields) for _ in range(2)]
    assert ["Created." in pages[0].text, "Saved." in pages[1].text] == [True, True]
    opened = await visitor.get(PATH)
    for _ in range(2):
        assert "Saved." in (await submit(visitor, opened, description="Other")).text
    audited = await database.fetch(
        "SELECT action, detail::jsonb -> 'changed' AS changed FROM dispatcher.audit"
        " WHERE environment_id = $1 AND subject = $2 ORDER BY id",
        home,
        NAME,
    )
    assert [(row["action"], row["changed"]) for row in audited] == [
        ("event_type.create", '["description", "example"]'),
        ("event_type.update", '["description"]'),
    ]


async def test_of_two_forms_at_one_time_one_is_refused(visitor: Visitor, admin: Client) -> None:
    await put(admin, description="A user")
    opened = await visitor.get(PATH)
    pages = await asyncio.gather(
        submit(visitor, opened, description="Mine"),
        submit(visitor, opened, description="Yours", example="1"),
    )
    assert sorted(page.status for page in pages) == [200, 409]


async def test_a_shipped_catalogue_leaves_types_of_others_as_they_are(
    visitor: Visitor, admin: Client
) -> None:
    await put(admin, description="Theirs", example={"id": "theirs"})
    await visitor.post("/event-types", {"catalogue": "paylent"})
    theirs = {
        "description": "Theirs",
        "example": {"id": "theirs"},
        "schema": None,
        "enforce": False,
    }
    assert await stored(admin) == theirs
    shipped = {entry.name for entry in shipped_catalogs.open_shipped("paylent")}
    listed = (await admin("GET", "/api/event-types")).data
    assert NAME in shipped
    assert {event_type["name"] for event_type in listed} == shipped


EXACT = '{"id":12345678901234567890123,"n":[1.50,1e2,true],"s":"\u202e\x7f\U000e0061 \\u0041"}'
"""Numbers beyond 64 bits, spelled in different ways, and characters that a page shows as codes."""


async def texts(database: Connection, home: str) -> tuple[str, str]:
    """Return the example and the schema as they are stored."""
    row = await database.fetchrow(
        "SELECT example::text, schema::text FROM dispatcher.event_types"
        " WHERE environment_id = $1 AND name = $2",
        home,
        NAME,
    )
    assert row is not None
    return row["example"], row["schema"] or ""


@pytest.mark.parametrize("example", [EXACT, '{"a":1,"a":2}', f'"{"x" * 70_000}"', '"\\ud800"'])
async def test_json_that_is_only_shown_keeps_its_text(
    visitor: Visitor, admin: Client, database: Connection, home: str, example: str
) -> None:
    """A producer's own tool may have stored any text that the database takes as JSON."""
    await put(admin, description="A usr")
    schema = '{"maximum":  99999999999999999999}'
    await database.execute(
        "UPDATE dispatcher.event_types SET example = $1::text::json, schema = $2::text::json"
        " WHERE environment_id = $3 AND name = $4",
        example,
        schema,
        home,
        NAME,
    )
    saved = await submit(visitor, await visitor.get(PATH), description="A user")
    assert (saved.status, "Saved." in saved.text) == (200, True)
    assert await texts(database, home) == (example, schema)
    assert "A user" in (await visitor.get("/event-types")).text


async def test_json_that_is_edited_keeps_its_other_values(
    visitor: Visitor, admin: Client, database: Connection, home: str
) -> None:
    fields: Fields = {"name": NAME, "example": EXACT, "schema": '{"maximum":99999999999999999999}'}
    assert "Created." in (await visitor.post("/event-types/new", fields)).text
    shown = await visitor.get(PATH)
    typed = str(shown.markup.form(NAME).fields["example"])
    for invisible in ("\u202e", "\x7f", "\U000e0061"):
        assert invisible not in typed
    saved = await submit(visitor, shown, example=typed.replace("true", "1"))
    assert (saved.status, "Saved." in saved.text) == (200, True)
    example = '{"id":12345678901234567890123,"n":[1.5,100.0,1],"s":"\u202e\x7f\U000e0061 A"}'
    assert await texts(database, home) == (example, '{"maximum":99999999999999999999}')


async def test_an_example_is_emitted_as_it_is(
    visitor: Visitor, admin: Client, database: Connection, home: str
) -> None:
    fields: Fields = {"name": NAME, "example": EXACT}
    await visitor.post("/event-types/new", fields)
    opened = await visitor.get(f"/events/new?type={NAME}")
    assert "Emitted." in (await visitor.submit(opened.markup.form("/events/new"))).text
    emitted, example = "SELECT data FROM dispatcher.events", (await texts(database, home))[0]
    data = await database.fetchval(f"{emitted} WHERE environment_id = $1", home)
    assert json.loads(data) == json.loads(example)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"n": 1e400}', "finite numbers"),
        ('{"n": NaN}', "is not JSON"),
        ('{"a": 1, "a": 2}', "A key stands twice"),
        ('{"n": ' + "9" * 5000 + "}", "is not JSON"),
        ("{", "is not JSON"),
        ('"\\ud800"', "is not JSON"),
    ],
)
async def test_json_that_the_api_refuses_is_refused_and_shown_as_it_was_typed(
    visitor: Visitor, admin: Client, text: str, reason: str
) -> None:
    await put(admin, description="A user")
    page = await submit(visitor, await visitor.get(PATH), example=text)
    assert (page.status, 'id="example-error"' in page.text) == (422, True)
    assert reason in page.text
    shown = str(page.markup.form(NAME).fields["example"])
    assert "".join(shown.split()) == "".join(text.split())


async def test_a_description_with_line_ends_stays_if_it_is_not_edited(
    visitor: Visitor, admin: Client
) -> None:
    """A field of one line does not hold them."""
    await put(admin, description=" Two\nlines ")
    opened = await visitor.get(PATH)
    await submit(visitor, opened, description=" Twolines ", example="1")
    assert (await stored(admin))["description"] == " Two\nlines "
