"""Environments are renamed in the dashboard."""

from tests.api.conftest import Api
from tests.dashboard.conftest import Visitor


async def test_an_environment_is_renamed(visitor: Visitor) -> None:
    page = await visitor.get("/environments")
    form = page.markup.form("/environments/rename")
    assert form.fields["name"] == "Default"
    renamed = await visitor.submit(form, name="Shop <EU>")
    assert "Saved." in renamed.text
    assert "Shop &lt;EU&gt;" in renamed.text
    refused = await visitor.submit(renamed.markup.form("/environments/rename"), name=" ")
    assert (refused.status, 'id="name-error"' in refused.text) == (422, True)
    history = await visitor.get("/audit?action=environment.rename")
    assert "<del>Default</del>" in history.text


async def test_only_an_administrator_renames(api: Api, stranger: Visitor) -> None:
    await stranger.sign_in(await api.token("write"))
    assert "Rename" not in (await stranger.get("/environments")).text
    assert (await stranger.post("/environments/rename", {"name": "x"})).status == 403
    await stranger.sign_in(await api.token("admin", "env_default"))
    assert "Saved." in (await stranger.post("/environments/rename", {"name": "Mine"})).text
