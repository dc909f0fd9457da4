"""The six questions of support, each answered in words after at most three actions.

Support knows the number of an order, the name of a customer, or nothing but that somebody complains. It
begins at the overview. An action is a click, or a text that is typed. How long it took is printed, and
shown by `pytest -rP`.
"""

import re
import sys
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.browser.browsing import Browsing, Place
from tests.dashboard.browser.conftest import found_place
from tests.receivers import Answer, Receiver
from tests.waiting import until

LIMIT = 3
ORDER = "ord_894287"
ANSWERED = b'{"error":"the SKU is unknown"}'
TWICE: dict[str, Any] = {"retries": 1, "base": 0.1, "jitter": 0}


class Support:
    """A person at the overview, whose actions are counted."""

    def __init__(self, page: Page, question: str) -> None:
        self.page = page
        self._question = question
        self._actions = 0
        self._began = 0.0

    async def begin(self) -> "Support":
        await self.page.goto("/")
        await expect(self.verdict).to_be_visible()
        self._began = perf_counter()
        return self

    async def types(self, text: str) -> Locator:
        """Type into the one box. Return the answer below it."""
        self._actions += 1
        await self.page.keyboard.press("/")
        await self.page.keyboard.type(text)
        answer = self.page.locator("#box-hits .answer")
        await expect(answer).to_be_visible()
        return answer

    async def clicks(self, target: Locator) -> None:
        self._actions += 1
        await target.click()

    async def reads(self, answer: Locator, *words: str) -> None:
        """End with the answer, which has all of these words: regular expressions."""
        for word in words:
            await expect(answer).to_contain_text(re.compile(word))
        seconds = perf_counter() - self._began
        sys.stdout.write(f"{self._question}: {self._actions} actions, {seconds:.2f} s\n")
        assert self._actions <= LIMIT

    @property
    def verdict(self) -> Locator:
        return self.page.locator("#verdict")

    @property
    def deliveries(self) -> Locator:
        return self.page.locator("table.deliveries tbody tr")

    def in_menu(self, name: str) -> Locator:
        return self.page.locator("#sidebar").get_by_role("link", name=name, exact=True)


class Complaint:
    """Initech answers 500 to the order; Hooli gets everything. Ann has just changed Initech."""

    def __init__(self, place: Place, browsing: Browsing, initech: Receiver) -> None:
        self.place = place
        self.initech = initech
        self._browsing = browsing

    async def asks(self, question: str) -> Support:
        return await Support(await self._browsing.open(self.place.token), question).begin()


@pytest.fixture(scope="module")
async def scene(standing: Api, database: Connection) -> AsyncIterator[tuple[Place, Receiver]]:
    """Shared by the questions that change nothing."""
    async with Receiver() as initech, Receiver() as hooli:
        yield await _complained(standing, database, initech, hooli), initech


@pytest.fixture
def complaint(scene: tuple[Place, Receiver], browsing: Browsing) -> Complaint:
    return Complaint(scene[0], browsing, scene[1])


@pytest.fixture
async def own_complaint(
    standing: Api, database: Connection, browsing: Browsing
) -> AsyncIterator[Complaint]:
    async with Receiver() as initech, Receiver() as hooli:
        place = await _complained(standing, database, initech, hooli)
        yield Complaint(place, browsing, initech)


async def _complained(api: Api, database: Connection, initech: Receiver, hooli: Receiver) -> Place:
    initech.otherwise = Answer(500, {"Content-Type": "application/json"}, ANSWERED)
    place = await found_place(api, database)
    made = await place.webhook(f"{initech.url}in", name="Initech", retry=TWICE)
    await place.webhook(f"{hooli.url}in", name="Hooli")
    path = f"/api/webhooks/{made['id']}"
    await place.ask("PATCH", path, {"url": f"{initech.url}moved"})
    form = {"type": "order.created", "data": {"total": "12.90"}, "reference": ORDER}
    await place.ask("POST", "/api/events", form)

    async def given_up() -> bool:
        deliveries = (await place.ask("GET", f"{path}/deliveries?status=FAILED")).data["items"]
        failing = (await place.ask("GET", path)).data["failingSince"]
        return bool(deliveries) and failing is not None

    await until(given_up, "the order is given up")
    await hooli.wait_for(1)
    return place


SENT = r"order\.created was sent to Initech twice, answered 500 each time, given up at \d\d:\d\d:\d\d UTC"


async def test_the_search_for_an_order_says_that_its_delivery_failed(complaint: Complaint) -> None:
    support = await complaint.asks("1, did they get it, by order")
    await support.reads(await support.types(ORDER), SENT, "other webhooks: 1 delivered")


async def test_the_deliveries_of_a_customer_show_the_order_that_failed(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("1, did they get it, by customer")
    answer = await support.types("Initech")
    await support.clicks(answer.get_by_role("link", name="Look at it"))
    await support.reads(support.deliveries.filter(has_text=ORDER), "failed", "500")


async def test_the_list_of_deliveries_shows_the_order_that_failed(complaint: Complaint) -> None:
    support = await complaint.asks("1, did they get it, by complaint")
    await support.clicks(support.in_menu("Deliveries"))
    row = support.deliveries.filter(has_text=ORDER).filter(has_text="Initech")
    await support.reads(row, "failed", "500")


async def test_the_cause_of_a_failure_is_found_by_the_number_of_the_order(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("2, why, by order")
    answer = await support.types(ORDER)
    await support.clicks(answer.get_by_role("link", name="Look at the delivery"))
    await support.reads(support.page.locator("#live"), "500", "the SKU is unknown")


async def test_the_cause_of_a_failure_is_found_by_the_name_of_the_customer(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("2, why, by customer")
    answer = await support.types("Initech")
    await support.clicks(answer.get_by_role("link", name="Look at it"))
    await support.clicks(support.deliveries.filter(has_text=ORDER).get_by_role("link"))
    await support.reads(support.page.locator("#live"), "500", "the SKU is unknown")


async def test_the_cause_of_a_failure_is_found_from_the_verdict(complaint: Complaint) -> None:
    support = await complaint.asks("2, why, by complaint")
    await expect(support.verdict.get_by_role("row", name=re.compile("Initech"))).to_contain_text(
        "500"
    )
    await support.clicks(support.verdict.get_by_role("link", name="Initech"))
    await support.clicks(support.deliveries.first.get_by_role("link"))
    await support.reads(support.page.locator("#live"), "500", "the SKU is unknown")


async def test_an_order_is_sent_again_from_the_search_for_its_number(
    own_complaint: Complaint,
) -> None:
    support = await own_complaint.asks("3, send it again, by order")
    own_complaint.initech.otherwise = 200
    answer = await support.types(ORDER)
    await support.clicks(answer.get_by_role("button", name="Retry now"))
    await support.reads(support.page.locator("#live"), "delivered")
    await own_complaint.initech.wait_for(3)


async def test_failed_deliveries_are_sent_again_from_the_search_for_the_customer(
    own_complaint: Complaint,
) -> None:
    support = await own_complaint.asks("3, send it again, by customer")
    own_complaint.initech.otherwise = 200
    answer = await support.types("Initech")
    await support.clicks(answer.get_by_role("button", name="Retry what failed…"))
    heading = support.page.get_by_role("heading", name="Retry 1 delivery?")
    await expect(heading).to_be_visible()
    await support.clicks(support.page.get_by_role("button", name="Retry 1", exact=True))
    await support.reads(support.page.locator("#main"), "Started.")
    await own_complaint.initech.wait_for(3)


async def test_failed_deliveries_are_sent_again_from_the_verdict(own_complaint: Complaint) -> None:
    support = await own_complaint.asks("3, send it again, by complaint")
    own_complaint.initech.otherwise = 200
    await support.clicks(support.verdict.get_by_role("button", name=re.compile("Retry failed")))
    await support.clicks(support.page.get_by_role("button", name="Retry 1", exact=True))
    await support.reads(support.page.locator("#main"), "Started.")
    await own_complaint.initech.wait_for(3)


async def test_the_verdict_says_which_webhook_fails_and_since_when(complaint: Complaint) -> None:
    support = await complaint.asks("4, what fails since when, by complaint")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    await support.reads(support.verdict, r"1 webhook fails\.", "Initech", time, "500")


async def test_the_search_for_a_customer_says_since_when_its_webhook_fails(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("4, what fails since when, by customer")
    answer = await support.types("Initech")
    await support.reads(answer, r"Initech has failed since \d\d:\d\d:\d\d UTC")


async def test_the_webhook_of_an_order_shows_since_when_it_fails(complaint: Complaint) -> None:
    support = await complaint.asks("4, what fails since when, by order")
    answer = await support.types(ORDER)
    await support.clicks(answer.get_by_role("link", name="Look at the webhook"))
    await support.reads(support.page.locator("#health"), "Failing since")


async def test_the_verdict_says_that_all_is_well_and_nothing_waits(
    place: Place, receiver: Receiver, browsing: Browsing
) -> None:
    await place.webhook(receiver.url, name="Hooli")
    await place.emit("order.created", {})
    await receiver.wait_for(1)
    support = await Complaint(place, browsing, receiver).asks("5, are we healthy, by complaint")
    await expect(support.page.locator(".figure", has_text="lag")).to_contain_text("0 s")
    await support.reads(support.verdict, "All is well", "Nothing fails", "nothing waits longer")


async def test_the_search_for_a_customer_says_that_its_webhook_is_healthy(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("5, are we healthy, by customer")
    answer = await support.types("Hooli")
    await support.reads(answer, "Hooli is active: 100 % of 1 attempts in the last 24 hours")


async def test_the_audit_log_shows_a_change_and_who_made_it(complaint: Complaint) -> None:
    support = await complaint.asks("6, what changed, by complaint")
    await support.clicks(support.in_menu("Audit"))
    row = support.page.locator("tbody tr").filter(has_text="webhook.update")
    await support.reads(row, "Initech", "of a test", "url", "/in", "/moved")


async def test_the_history_of_a_customer_shows_the_change_of_its_webhook(
    complaint: Complaint,
) -> None:
    support = await complaint.asks("6, what changed, by customer")
    answer = await support.types("Initech")
    await support.clicks(answer.get_by_role("link", name="Look at it"))
    await support.clicks(support.page.get_by_role("link", name="History", exact=True))
    row = support.page.locator("tbody tr").filter(has_text="webhook.update")
    await support.reads(row, "of a test", "url", "/in", "/moved")


async def test_the_history_of_an_orders_webhook_shows_its_change(complaint: Complaint) -> None:
    support = await complaint.asks("6, what changed, by order")
    answer = await support.types(ORDER)
    await support.clicks(answer.get_by_role("link", name="Look at the webhook"))
    await support.clicks(support.page.get_by_role("link", name="History", exact=True))
    row = support.page.locator("tbody tr").filter(has_text="webhook.update")
    await support.reads(row, "of a test", "url", "/in", "/moved")
