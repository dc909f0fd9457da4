"""Environments have names in the dashboard, and are renamed there."""

import pytest

from dispatcher.dashboard.views import environments
from tests.api.conftest import OTHER, Api
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver


async def test_an_environment_is_renamed(visitor: Visitor) -> None:
    page = await visitor.get("/environments")
    form = page.markup.form("/environments/rename")
    assert form.fields["name"] == "Home"
    renamed = await visitor.submit(form, name="Shop <EU>")
    assert "Saved." in renamed.text
    assert "Shop &lt;EU&gt;" in renamed.text
    refused = await visitor.submit(renamed.markup.form("/environments/rename"), name=" ")
    assert (refused.status, 'id="name-error"' in refused.text) == (422, True)
    history = await visitor.get("/audit?action=environment.rename")
    assert "<del>Home</del>" in history.text


async def test_the_menu_says_if_there_are_more_environments_than_it_lists(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in (1, 1000):
        monkeypatch.setattr(environments, "SHOWN_LIMIT", limit)
        monkeypatch.setattr(environments, "MATCHES_LIMIT", limit)
        for path in ("/environments", "/environments?to=env"):
            shown = (await visitor.get(path, HX_Request="true")).text
            assert ("There are more." in shown) is (limit == 1)


async def test_only_an_administrator_renames(standing: Api, stranger: Visitor, home: str) -> None:
    await stranger.sign_in(await standing.token("write"))
    assert "Rename" not in (await stranger.get("/environments")).text
    assert (await stranger.post("/environments/rename", {"name": "x"})).status == 403
    await stranger.sign_in(await standing.token("admin", home))
    assert "Saved." in (await stranger.post("/environments/rename", {"name": "Mine"})).text


async def test_lists_name_the_environment_beside_its_id(
    visitor: Visitor,
    standing: Api,
    receiver: Receiver,
    database: Connection,
) -> None:
    named = 'Other <span class="id"><span class="soft mono">env_other</span>'
    other = await standing.client("admin", OTHER)
    webhook = await made(other, receiver.url)
    await database.execute(
        "UPDATE dispatcher.endpoints SET active = false, disabled_reason = 'manual' WHERE id = $1",
        webhook,
    )
    assert named in (await visitor.get("/tokens")).text
    assert named in (await visitor.get("/audit?all=on")).text
    of_all = await visitor.get("/?of=all")
    assert named in of_all.text
    assert ">Home</a>" in of_all.text
    assert named not in (await visitor.get(f"/e/{OTHER}/")).text
    made_token = await visitor.post(f"/e/{OTHER}/tokens", {"name": "theirs", "scope": "read"})
    assert 'for <strong>Other</strong> <span class="mono">env_other</span>' in made_token.text
