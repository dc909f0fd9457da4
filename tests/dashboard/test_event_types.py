"""The form of an event type changes what a person changed in it, and nothing else."""

import asyncio
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
    found = (await admin("GET", f"/api/event-types/{NAME}")).data
    return {name: found[name] for name in ("description", "example", "schema", "enforce")}


async def submit(visitor: Visitor, opened: Page, **typed: str) -> Page:
    """Send the form of a page as it was opened, with these fields typed into it."""
    return await visitor.submit(opened.markup.form(NAME), **typed)


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
    assert {each["name"] for each in listed} == shipped
