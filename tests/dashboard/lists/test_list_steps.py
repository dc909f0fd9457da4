"""The steps to the items before and after one in a list, and the pages that lead along it."""

from datetime import UTC, datetime

import pytest

from dispatcher.core import ids
from dispatcher.core.pagination import Page
from dispatcher.dashboard.lists import list_steps
from dispatcher.dashboard.lists.list_steps import TooFarError
from dispatcher.dashboard.lists.live_list import Identified
from tests.api.conftest import Client
from tests.dashboard.conftest import Page as Shown
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver
from tests.waiting import until

MINUTE = 60_000 << ids.TIME_SHIFT


def links(page: Shown, part: str) -> list[str]:
    """The links of a page that contain a text."""
    return [to for name, to in page.markup.addresses if name == "a href" and part in to]


class Numbered:
    def __init__(self, number: int) -> None:
        self.id = str(number)


class Listing:
    """A list that reads at most `rows` rows at once, of which all match, or only `matching`."""

    def __init__(self, all_ids: list[int], *, rows: int = 1000, matching: set[int] | None = None):
        self.ids = sorted(all_ids, reverse=True)
        self.rows = rows
        self.matching = set(all_ids) if matching is None else matching
        self.reads = 0

    async def read(self, after: int, before: int, limit: int) -> Page[Identified, int]:
        self.reads += 1
        inside = [id_ for id_ in self.ids if after < id_ < before]
        looked = inside[: self.rows]
        matches = [id_ for id_ in looked if id_ in self.matching]
        if len(matches) > limit:
            return Page(tuple(map(Numbered, matches[:limit])), matches[limit - 1])
        return Page(tuple(map(Numbered, matches)), looked[-1] if len(inside) > self.rows else None)


NOW = ids.first_since(datetime.now(UTC))


@pytest.mark.parametrize(
    "apart", [1, 1 << ids.TIME_SHIFT, MINUTE // 100, MINUTE, 90 * MINUTE, 30 * 1440 * MINUTE]
)
async def test_a_walk_visits_each_item_once_in_both_directions(apart: int) -> None:
    numbers = [NOW - apart * back for back in range(12)]
    listing = Listing(numbers)
    walked = [numbers[-1]]
    while (neighbour := await list_steps.newer(listing.read, walked[-1])) is not None:
        walked.append(int(neighbour))
    assert walked == numbers[::-1]
    back = [numbers[0]]
    while (neighbour := await list_steps.older(listing.read, back[-1])) is not None:
        back.append(int(neighbour))
    assert back == numbers


async def test_a_busy_second_is_narrowed_to_the_nearest_item() -> None:
    numbers = [NOW - 5000 + offset for offset in range(5000)]
    listing = Listing(numbers, rows=100)
    assert await list_steps.newer(listing.read, numbers[0]) == str(numbers[1])
    assert listing.reads <= list_steps.ROUNDS_LIMIT


async def test_a_step_over_very_many_others_ends_with_a_word() -> None:
    numbers = [NOW - 5000 + offset for offset in range(5000)]
    listing = Listing(numbers, rows=10, matching={numbers[0], numbers[-1]})
    for step, start in ((list_steps.older, numbers[-1]), (list_steps.newer, numbers[0])):
        listing.reads = 0
        with pytest.raises(TooFarError):
            await step(listing.read, start)
        assert listing.reads == list_steps.LONG_READS_LIMIT


async def test_a_burst_later_on_is_reached_in_few_reads() -> None:
    burst = [NOW - 1000 + offset for offset in range(list_steps.READ_LIMIT + 30)]
    listing = Listing([NOW - 2 * MINUTE, *burst])
    assert await list_steps.newer(listing.read, NOW - 2 * MINUTE) == str(burst[0])
    assert listing.reads <= 4


async def test_the_pages_of_a_filtered_list_lead_along_it(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    for type_ in ("user.created", "user.updated", "user.created", "user.updated", "user.created"):
        await admin("POST", "/api/events", {"type": type_, "data": {}})
    await receiver.wait_for(5)

    async def delivered() -> bool:
        items = (await admin("GET", "/api/deliveries")).data["items"]
        return [delivery["status"] for delivery in items] == ["DELIVERED"] * 5

    await until(delivered, "all are delivered")
    items = (await admin("GET", "/api/deliveries")).data["items"]
    names = [delivery["id"] for delivery in items if delivery["event"] == "user.created"]
    query = "event=user.created&status=DELIVERED"
    for name, path in (("deliveries", "/deliveries"), ("webhook", f"/webhooks/{webhook}")):
        page = await visitor.get(f"{path}?{query}")
        opened = links(page, "/deliveries/dlv_")
        assert [link.split("/")[-1].split("?")[0] for link in opened] == names
        page = await visitor.follow(opened[0])
        for step, expected in (
            ("older", names[1]),
            ("older", names[2]),
            ("older", names[2]),
            ("newer", names[1]),
            ("newer", names[0]),
            ("newer", names[0]),
        ):
            before = page.below.split("?")[0]
            (link,) = links(page, f"/{step}?")
            page = await visitor.follow(link)
            assert page.below.startswith(f"/deliveries/{expected}?in={name}")
            ended = before == page.below.split("?")[0]
            assert ("est one of the list." in page.text) is ended
        (back,) = links(page, f"{path}?status=DELIVERED")
        assert (await visitor.follow(back)).text.count("<tr id=") == 3


async def test_events_are_stepped_through_and_a_made_up_list_leads_nowhere_else(
    visitor: Visitor, admin: Client
) -> None:
    names = [
        (await admin("POST", "/api/events", {"type": type_, "data": {}})).data["id"]
        for type_ in ("a.b", "a.c", "a.b")
    ]
    page = await visitor.get("/events?type=a.b")
    link, _ = links(page, "/events/evt_")
    page = await visitor.follow(link)
    assert page.below.startswith(f"/events/{names[2]}?")
    (link,) = links(page, "/older?")
    assert (await visitor.follow(link)).below.startswith(f"/events/{names[0]}?")
    plain = await visitor.get(f"/events/{names[1]}/older")
    assert plain.below == f"/events/{names[1]}"
    assert "In the list" not in plain.text
    for query in ("in=https://evil.example/", "in=deliveries", "in=audit&x=1"):
        page = await visitor.get(f"/events/{names[1]}?{query}")
        assert (page.status, "In the list" in page.text) == (200, False)
        # The page may link to itself; the address in its query leads nowhere.
        assert all(link.startswith("/e/") for link in links(page, "evil"))
    page = await visitor.get(f"/events/{names[1]}/older?in=events&since=yesterday")
    assert "The search was not done" in page.text
    assert (await visitor.get("/events/evt_x/older?in=events")).status == 404
