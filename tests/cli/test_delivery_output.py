"""What commands print about deliveries: the last answer, and when the next attempt is."""

from typing import cast
from unittest.mock import AsyncMock, Mock

import pytest

from dispatcher.cli.output.delivery_output import ANSWER, BODY_LIMIT, WHEN, print_delivery
from dispatcher.cli.output.listing import print_items
from dispatcher.cli.webhook_names import add_names
from dispatcher.client import Resource
from dispatcher.client.methods import AsyncApi

CREATED, ENDED, NEXT, LATER = (f"2026-11-29T01:16:{second}.000Z" for second in (10, 20, 30, 40))
DELIVERY = Resource(
    {
        "id": "dlv_1",
        "status": "FAILED",
        "event": "a.b",
        "eventId": "evt_1",
        "environmentId": "env_default",
        "webhookId": "w",
        "attempts": 1,
        "responseStatus": 500,
        "responseBody": None,
        "error": "answered 500",
        "errorCode": "http",
        "nextRetryAt": None,
        "createdAt": CREATED,
        "endedAt": ENDED,
    }
)


def api(webhook: Resource, *, paused: bool = False) -> AsyncApi:
    """An API with this webhook alone."""
    pause = AsyncMock(return_value=Resource({"paused": paused}))
    within = Mock(webhooks=Mock(get=AsyncMock(return_value=webhook)), pauses=Mock(get=pause))
    return cast("AsyncApi", Mock(within=Mock(return_value=within)))


def test_a_delivery_of_an_ordered_webhook_says_what_it_waits_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = {"status": "PENDING", "nextRetryAt": NEXT, "endedAt": None, "waitsFor": "dlv_0"}
    print_delivery(Resource({**DELIVERY, **waiting}))
    shown = capsys.readouterr().out
    assert "\n  next     attempt 2, after dlv_0: the webhook is ordered\n" in shown
    assert NEXT not in shown


@pytest.mark.parametrize(
    ("fields", "short", "long"),
    [
        ({}, "500", "500"),
        ({"nextRetryAt": NEXT}, "500, next 11-29 01:16:30", f"500, next {NEXT}"),
        (
            {"responseStatus": None, "error": None, "errorCode": None, "nextRetryAt": NEXT},
            "next 11-29 01:16:30",
            f"next {NEXT}",
        ),
    ],
)
def test_a_pending_delivery_has_its_next_attempt_beside_the_answer(
    fields: dict[str, object], short: str, long: str
) -> None:
    item = Resource({**DELIVERY, **fields})
    assert (ANSWER.cell(item, short=True), ANSWER.cell(item, short=False)) == (short, long)


def test_a_delivery_in_quarantine_has_the_reason_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = "in quarantine: no room"
    item = Resource({**DELIVERY, "status": "PENDING", "error": why})
    assert (ANSWER.cell(item, short=True), ANSWER.cell(item, short=False)) == (why, why)
    print_delivery(item)
    out = capsys.readouterr().out
    assert f"  waits    {why}\n" in out
    assert "`dispatcher quarantine release q_1`, or `discard`\n" in out


@pytest.mark.parametrize(
    ("webhook", "held"),
    [
        ({"active": False, "pausedUntil": None}, "webhook disabled"),
        ({"active": True, "pausedUntil": LATER}, f"webhook resting until {LATER}"),
        ({"active": True, "pausedUntil": ENDED}, None),
        ({"active": True, "pausedUntil": None}, None),
    ],
)
async def test_a_delivery_that_its_webhook_holds_has_no_next_time(
    webhook: dict[str, object], held: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    item = Resource({**DELIVERY, "status": "PENDING", "nextRetryAt": NEXT})
    await add_names(api(Resource({"name": "Initech", **webhook})), [item])
    print_delivery(item)
    out = capsys.readouterr().out
    if held is None:
        assert ANSWER.cell(item, short=False) == f"500, next {NEXT}"
        assert f"  next     attempt 2 at {NEXT}\n" in out
    else:
        assert ANSWER.cell(item, short=False) == f"500, held: {held}"
        assert f"  next     attempt 2, held: {held}\n" in out


async def test_a_pause_holds_pending_deliveries_and_is_asked_for_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = api(Resource({"name": "Initech", "active": True, "pausedUntil": LATER}), paused=True)
    pending = [
        Resource({**DELIVERY, "status": "PENDING", "nextRetryAt": NEXT, "environmentId": id_})
        for id_ in ("env_default", "env_default", "env_default")
    ]
    ended = Resource({**DELIVERY, "environmentId": "env_other"})
    await add_names(client, [*pending, ended])
    print_delivery(pending[0])
    assert "  next     attempt 2, held: sending is paused\n" in capsys.readouterr().out
    assert [ANSWER.cell(delivery, short=True) for delivery in (pending[2], ended)] == [
        "500, held: sending is paused",
        "500",
    ]
    asked = cast("Mock", client.within("env_default").pauses.get)
    assert asked.await_count == 1


def test_the_reference_of_a_delivery_is_printed_if_it_has_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_delivery(Resource({**DELIVERY, "reference": "ord_1\x1b"}))
    assert "  reference  ord_1\\x1b\n" in capsys.readouterr().out
    print_delivery(DELIVERY)
    assert "reference" not in capsys.readouterr().out


async def test_an_ended_delivery_is_not_held() -> None:
    item = Resource(DELIVERY)
    await add_names(
        api(Resource({"name": "Initech", "active": False, "pausedUntil": None})), [item]
    )
    assert ANSWER.cell(item, short=True) == "500"


def test_the_time_is_the_one_by_which_a_listing_is_sorted() -> None:
    assert WHEN.cell(DELIVERY, short=False) == CREATED


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("no such user\n\x1b[2J", "no such user\\n\\x1b[2J"),
        ("x" * BODY_LIMIT, "x" * BODY_LIMIT),
        ("x" * (BODY_LIMIT + 1), "x" * BODY_LIMIT + "…"),
    ],
)
def test_the_beginning_of_the_last_answer_is_shown(
    body: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_delivery(Resource({**DELIVERY, "responseBody": body}))
    assert capsys.readouterr().out.endswith(f"  body     {line}\n")


@pytest.mark.parametrize(
    ("count", "notice"), [(2, ""), (3, "Only the newest 2 are shown. For more: --limit 20.\n")]
)
def test_a_listing_that_is_cut_says_so(
    count: int, notice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_items([DELIVERY] * count, [WHEN], as_json=False, empty="None.", limit=2)
    captured = capsys.readouterr()
    assert (captured.out.count("\n"), captured.err) == (2, notice)
