"""What a page says that it acts on is what its forms act on, whatever other tabs look at."""

import html
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.api.conftest import OTHER, Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.dashboard.scene import Director
from tests.dashboard.test_deliveries import delivery, emit
from tests.dashboard.test_webhooks import made
from tests.end_to_end.shell import KEY, shell
from tests.receivers import Receiver

HOME = "env_default"
STEPS = 3
EXCEPTIONS = re.compile(
    r"#[a-z]+|/static/[0-9a-f]{12}-.+|/sign-out|https://www\.standardwebhooks\.com/"
)
"""What a page may link to besides pages of its environment."""


class Tab:
    """Has one page open, and knows of no other tab."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._page: Page | None = None
        self.environment = ""
        self.name = ""

    async def open(self, environment: str, name: str) -> None:
        self._page = await self._visitor.get(f"/e/{environment}{ACTIONS[name][0]}")
        assert self._page.status == 200
        self.environment, self.name = environment, name

    async def act(self, mark: str, *, sent_to: str | None = None) -> int:
        """The status of the answer to the form of the page that is open."""
        assert self._page is not None
        _, ending, fields, _ = ACTIONS[self.name]
        form = self._page.markup.form(ending)
        if sent_to is not None:
            form.action = form.action.replace(f"/e/{self.environment}/", f"/e/{sent_to}/")
        typed = {name: value.format(mark=mark) for name, value in fields.items()}
        return (await self._visitor.submit(form, **typed)).status


Told = Callable[[Connection, str], Awaitable[str | None]]


def audited(action: str, subject: str, detail: str) -> Told:
    """In which environment it is on record that this was done."""

    async def told(connection: Connection, mark: str) -> str | None:
        environment_id: str | None = await connection.fetchval(
            "SELECT environment_id FROM dispatcher.audit WHERE action = $1"
            " AND subject LIKE $2 AND detail::text LIKE $3 ORDER BY id DESC",
            action,
            subject.format(mark=mark),
            detail.format(mark=mark),
        )
        return environment_id

    return told


async def emitted(connection: Connection, mark: str) -> str | None:
    environment_id: str | None = await connection.fetchval(
        "SELECT environment_id FROM dispatcher.events WHERE type = $1", f"of.{mark}"
    )
    return environment_id


ACTIONS: dict[str, tuple[str, str, dict[str, str], Told]] = {
    "type": (
        "/event-types/new",
        "/event-types/new",
        {"name": "of.{mark}"},
        audited("event_type.create", "of.{mark}", "%"),
    ),
    "token": (
        "/tokens",
        "/tokens",
        {"name": "t-{mark}"},
        audited("token.create", "%", '%t-{mark}"%'),
    ),
    "webhook": (
        "/webhooks/new",
        "/webhooks/new",
        {"url": "https://example.com/{mark}", "patterns": "*"},
        audited("webhook.create", "%", '%/{mark}"%'),
    ),
    "event": ("/events/new", "/events/new", {"type": "of.{mark}", "data": "{{}}"}, emitted),
}
"""The page, its form, what is typed, and where it was done. Pausing is beside: it is no page's own."""


async def test_two_tabs_act_in_their_own_environments_in_any_order(
    visitor: Visitor, database: Connection, other_home: str, home: str
) -> None:
    draw = random.Random(8)  # the same orders each time
    homes, names = (home, other_home), list(ACTIONS)
    cases = [(name, place, beside) for name in names for place in homes for beside in homes]
    tabs = [Tab(visitor), Tab(visitor)]
    for number, (name, place, beside) in enumerate(draw.sample(cases, len(cases))):
        tab, other = draw.sample(tabs, 2)
        for opened, where, what in draw.sample(
            [(tab, place, name), (other, beside, draw.choice(names))], 2
        ):
            for _ in range(draw.randrange(STEPS)):  # pages that are left for others
                await opened.open(draw.choice(homes), draw.choice(names))
            await opened.open(where, what)
        mark = f"n{number}"
        assert await tab.act(mark) in (200, 201)
        assert await ACTIONS[name][3](database, mark) == place, number


async def test_a_form_that_was_made_for_another_environment_does_nothing(
    visitor: Visitor, database: Connection, other_home: str, home: str
) -> None:
    tab = Tab(visitor)
    for name in ACTIONS:
        await tab.open(home, name)
        assert await tab.act("x", sent_to=other_home) == 409
        assert await ACTIONS[name][3](database, "x") is None
    page = await visitor.post("/pause", meant=other_home)
    assert page.status == 409
    assert f"This page belongs to {other_home}" in page.text
    assert "Nothing was done" in page.text
    silent = await visitor.send(f"/e/{home}/pause")
    assert (silent.status, "does not say which environment" in silent.text) == (409, True)
    audited = "SELECT count(*) FROM dispatcher.audit WHERE environment_id = ANY($1)"
    assert await database.fetchval(audited, [home, other_home]) == 0


async def test_a_dialog_pauses_the_environment_that_it_names(
    visitor: Visitor, database: Connection, other_home: str, home: str
) -> None:
    page = await visitor.get("/")
    assert f"Pause sending for Home ({home})?" in page.text
    await visitor.get(f"/e/{other_home}/")
    await visitor.submit(page.markup.form("/pause"))
    paused = "SELECT id FROM dispatcher.environments WHERE paused_at IS NOT NULL AND id = ANY($1)"
    assert [row[0] for row in await database.fetch(paused, [home, other_home])] == [home]


async def test_the_start_page_opens_the_last_environment(
    visitor: Visitor, other_home: str, home: str
) -> None:
    assert (await visitor.get("/sign-in")).status == 200
    await visitor.get(f"/e/{other_home}/webhooks")
    for path in ("/", "/webhooks", "/tokens?x=1"):
        moved = await visitor.follow(path)
        assert moved.path == f"/e/{other_home}{path}"
    await visitor.get(f"/e/{home}/webhooks", HX_Request="true")
    assert (await visitor.follow("/")).path == f"/e/{other_home}/"
    assert (await visitor.get(f"/e/{home}")).path == f"/e/{home}/"


@pytest.mark.long
async def test_every_address_on_every_page_is_of_the_pages_environment(
    api: Api, other_environment: str, own_visitor: Visitor
) -> None:
    async with Receiver() as well, Receiver() as badly:
        ask = await api.client("admin", other_environment)
        scene = await Director(ask, other_environment, well, badly).set()
    begins = f"/e/{other_environment}/"
    waiting, seen = list(scene.pages.values()), set[str]()
    while waiting:
        path = waiting.pop()
        kind = re.sub(r"\d{6,}|[0-9a-f-]{36}|(?<==).*", "…", path)
        if kind in seen:
            continue
        seen.add(kind)
        page = await own_visitor.get(path)
        assert page.status == 200, path
        if page.headers["Content-Type"].startswith("text/html"):
            assert astray(page, begins) == [], path
            waiting += further(page, begins)
    assert len(seen) > 25


def astray(page: Page, begins: str) -> list[object]:
    """Addresses that may be of another environment, and forms that do not say theirs."""
    listed = "/environments" in page.path
    return [
        *(
            (where, address)
            for where, address in page.markup.addresses
            if not address.startswith(begins) and not EXCEPTIONS.fullmatch(address) and not listed
        ),
        *(
            form
            for form in page.markup.forms
            if form.method == "post"
            and form.action != "/sign-out"
            and form.fields["environment"] != begins.split("/")[2]
        ),
    ]


def further(page: Page, begins: str) -> list[str]:
    """Return the addresses that a page links to or asks for."""
    opened = ("a href", "div hx-get", "ul hx-get")
    addresses = page.markup.addresses
    return [a for where, a in addresses if where in opened and a.startswith(begins)]


@pytest.mark.parametrize("noun", ["webhooks", "events", "deliveries"])
async def test_a_link_of_another_environment_redirects_a_permitted_token(
    standing: Api,
    visitor: Visitor,
    admin: Client,
    receiver: Receiver,
    other_home: str,
    noun: str,
    home: str,
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    event = (await admin("GET", f"/api/deliveries/{name}")).data["eventId"]
    id_ = {"webhooks": webhook, "events": event, "deliveries": name}[noun]
    right = f"/e/{home}/{noun}/{id_}"
    for path in (f"/{noun}/{id_}", f"/e/{other_home}/{noun}/{id_}"):
        page = await visitor.follow(path)
        assert (page.status, page.path) == (200, right)
    bound = Visitor(visitor.session)
    await bound.sign_in(await standing.token("admin", other_home))
    for path in (f"/{noun}/{id_}", f"/e/{other_home}/{noun}/{id_}", right):
        assert (await bound.follow(path)).status == 404
    # Nor does an address without an environment tell whether another one has the item.
    async with bound.session.get(f"/{noun}/{id_}", allow_redirects=False) as response:
        assert response.headers["Location"] == f"/e/{other_home}/{noun}/{id_}"


async def test_a_form_for_another_environment_changes_nothing_and_names_it(
    visitor: Visitor, admin: Client, receiver: Receiver, other_home: str, home: str
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    for path, shown in (
        (f"/webhooks/{webhook}/disable", f"/webhooks/{webhook}"),
        (f"/webhooks/{webhook}/delete", f"/webhooks/{webhook}"),
        (f"/deliveries/{name}/retry", f"/deliveries/{name}"),
    ):
        page = await visitor.post(f"/e/{other_home}{path}")
        assert page.status == 409
        assert (
            f"It is in Home ({home}), not in Elsewhere ({other_home}). Nothing was done."
            in page.text
        )
        assert f'href="/e/{home}{shown}"' in page.text
    assert (await admin("GET", f"/api/webhooks/{webhook}")).data["active"] is True
    assert len(receiver.requests) == 1


async def test_a_form_from_before_pages_named_their_environment_does_nothing(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    for path in ("/pause", f"/webhooks/{webhook}/delete", "/tokens"):
        page = await visitor.send(path, {"name": "x"})
        assert (page.status, "Nothing was done" in page.text) == (409, True)
    renewed = await visitor.follow("/webhooks", HX_Request="true")
    assert (renewed.status, renewed.headers["HX-Refresh"]) == (409, "true")
    assert (await admin("GET", f"/api/webhooks/{webhook}")).status == 200


async def test_a_live_part_keeps_the_environment_of_its_page(
    visitor: Visitor, admin: Client, receiver: Receiver, other_home: str
) -> None:
    await made(admin, receiver.url, name="Of the default one")
    page = await visitor.get("/webhooks")
    await visitor.get(f"/e/{other_home}/webhooks")
    (live,) = [a for where, a in page.markup.addresses if where == "div hx-get"]
    renewed = await visitor.get(live, HX_Request="true")
    assert "Of the default one" in renewed.text


@pytest.mark.parametrize("environment", [HOME, OTHER, "it-s_ODD-1"])
async def test_a_statement_that_a_page_shows_inserts_into_the_pages_environment(
    api: Api, own_visitor: Visitor, receiver: Receiver, connection: Connection, environment: str
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ($1, 'n') ON CONFLICT DO NOTHING",
        environment,
    )
    ask = await api.client("admin", environment)
    shown = [await own_visitor.get(f"/e/{environment}/events")]
    await ask("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"]})
    shown.append(await own_visitor.get(f"/e/{environment}/"))
    for page in shown:
        (statement,) = re.findall(r'aria-label="SQL"><code>(.*?)</code>', page.text, re.DOTALL)
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE dispatcher_producer")
            await connection.execute(html.unescape(statement))
    rows = await connection.fetch("SELECT environment_id FROM dispatcher.events")
    assert [row[0] for row in rows] == [environment] * 2


async def test_the_command_that_the_sign_in_shows_makes_a_token_that_signs_in(
    standing: Api, stranger: Visitor, tmp_path: Path
) -> None:
    page = await stranger.get("/sign-in")
    (command,) = re.findall(r"<code>dispatcher (.*?)</code>", page.text)
    async with shell(tmp_path, database__dsn=standing.dsn, secrets__key=KEY) as run:
        (made_,) = await run.each(html.unescape(command))
    assert made_.code == 0, made_.err
    match = re.search(r"dsp_[\w-]{43}", made_.out)
    assert match is not None, made_.out
    assert (await stranger.sign_in(match[0])).path == f"/e/{HOME}/"


PAGES = ("/", "/webhooks", "/webhooks/new", "/events", "/event-types", "/quarantine", "/tokens")


async def test_every_page_says_that_sending_is_paused_since_when_and_by_whom(
    own_visitor: Visitor, other_environment: str
) -> None:
    await own_visitor.post("/pause")
    for path in PAGES:
        text = (await own_visitor.get(path)).text
        assert (
            'Sending is paused</strong> for <strong>Default</strong> <span class="mono">env_default</span>, since <time'
            in text
        )
        assert "by of a test" in text
        assert "for all environments</strong>" not in text
        assert (
            "Sending is paused" not in (await own_visitor.get(f"/e/{other_environment}{path}")).text
        )
    await own_visitor.post("/pause", {"of": "all"})
    for environment in (HOME, other_environment):
        for path in PAGES:
            page = await own_visitor.get(f"/e/{environment}{path}")
            assert "Sending is paused for all environments</strong>, since <time" in page.text
            buttons = [form.buttons for form in page.markup.forms if "resume" in form.action]
            named = [["Resume Default (env_default)"]] if environment == HOME else []
            assert buttons == [["Resume all sending"], *named]
    page = await own_visitor.get("/webhooks")
    forms = [form for form in page.markup.forms if form.action.endswith("/resume")]
    own = next(form for form in forms if "of" not in form.fields)
    of_all = next(form for form in forms if "of" in form.fields)
    in_part = (await own_visitor.submit(of_all)).text
    assert "No pause of all environments is left." in in_part
    assert "<strong>Sending is paused</strong>" in in_part
    await own_visitor.post("/pause", {"of": "all"})
    resumed = (await own_visitor.submit(own)).text
    assert "paused for all environments" in resumed
    assert "<strong>Sending is paused</strong>" not in resumed


async def test_a_token_of_one_environment_does_not_see_the_actor_of_a_pause_of_all(
    api: Api, own_stranger: Visitor, own_admin: Client
) -> None:
    await own_admin("POST", "/api/pause", {"all": True})
    await own_stranger.sign_in(await api.token("admin", HOME))
    text = (await own_stranger.get("/webhooks")).text
    assert "Sending is paused for all environments" in text
    assert "by of a test" not in text
    assert "Resume all sending" not in text
