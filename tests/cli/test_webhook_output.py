"""What commands print about a webhook: the state that it is in."""

import pytest

from dispatcher.cli.output.webhook_output import old_secret_text, webhook_state, webhook_text
from dispatcher.client import Resource

WEBHOOK = {
    "id": "w",
    "name": "Initech",
    "url": "https://initech.example/",
    "events": ["a"],
    "active": True,
    "environmentId": "env_default",
    "disabledReason": None,
    "failingSince": None,
    "pausedUntil": None,
}
SINCE = "2026-11-29T09:00:00.000Z"


@pytest.mark.parametrize(
    ("fields", "state", "line"),
    [
        ({}, "active", "active"),
        ({"failingSince": SINCE}, "failing", f"failing since {SINCE}"),
        ({"failingSince": SINCE, "pausedUntil": SINCE}, "resting", f"resting until {SINCE}"),
        ({"active": False, "failingSince": SINCE}, "disabled", "disabled (by hand)"),
        ({"active": False, "disabledReason": "gone"}, "disabled", "disabled (gone)"),
    ],
)
def test_a_webhook_is_shown_with_the_same_state_as_in_the_dashboard(
    fields: dict[str, object], state: str, line: str
) -> None:
    webhook = Resource({**WEBHOOK, **fields})
    assert webhook_state(webhook) == state
    assert f"  state   {line}, in env_default" in webhook_text(webhook)


def test_an_old_secret_is_named_as_long_as_it_signs() -> None:
    future, past = "2999-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"
    line = f"the previous one also signs until {future}"
    assert line in webhook_text(Resource({**WEBHOOK, "previousSecretUntil": future}))
    assert "previous" not in webhook_text(Resource({**WEBHOOK, "previousSecretUntil": past}))
    text = old_secret_text(Resource({**WEBHOOK, "previousSecretUntil": future}))
    assert text.startswith(f"The old secret also signs until {future}.")
    text = old_secret_text(Resource({**WEBHOOK, "previousSecretUntil": None}))
    assert text.startswith("The old secret signs nothing from now on.")


def test_every_setting_that_is_not_the_default_has_a_line_in_words() -> None:
    settings = {
        "description": "Orders of the shop",
        "ordered": True,
        "rateLimit": 5,
        "maxInFlight": 1,
        "timeout": 2.5,
        "retry": {"retries": 1, "base": 600, "factor": 3.0, "jitter": 0.1, "cap": 7200},
        "signatureSchemes": ["standard", "stripe"],
        "headerNames": ["X-Own", "X-Two"],
        "metadata": {"team": "büro"},
    }
    shown = webhook_text(Resource({**WEBHOOK, **settings})).splitlines()[4:]
    assert shown == [
        "  about   Orders of the shop",
        "  order   one delivery at a time, in order",
        "  rate    at most 5 requests a second",
        "  flight  at most 1 request at one time",
        "  timeout 2.5 s for an attempt",
        "  retry   1 retry, the first after 10 min, each delay 3 times the one before,"
        " changed at random by up to 10 %, no delay above 2 h before that",
        "  signs   by standard, stripe",
        "  headers X-Own, X-Two; their values are not shown",
        '  meta    {"team": "büro"}',
    ]


def test_a_setting_that_is_the_default_has_no_line() -> None:
    defaults = {"description": "", "ordered": False, "rateLimit": None, "retry": None}
    defaults |= {"metadata": {}, "headerNames": [], "timeout": None, "signatureSchemes": None}
    assert len(webhook_text(Resource({**WEBHOOK, **defaults})).splitlines()) == 4
    partly = Resource({**WEBHOOK, "retry": {"retries": 0, "base": None}})
    assert webhook_text(partly).splitlines()[4:] == ["  retry   0 retries"]
