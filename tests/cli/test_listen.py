"""What `listen` says of a signature: the same as a receiver."""

import time

import pytest

from dispatcher.cli.commands.listen import verify_delivery
from dispatcher.core import signing

NAMES = signing.HeaderNames("X-A-Signature", "unused", "unused", "Stripe-Signature")
SECRET = "0123456789abcdef" * 4
BODY = b'{"event":"a.b"}'
STALE = 3_600


def headers(*schemes: str, age: int = 0) -> dict[str, str]:
    at = int(time.time()) - age
    return signing.sign(schemes, NAMES, (SECRET,), event_id="evt_1", timestamp=at, body=BODY)


@pytest.mark.parametrize(
    ("schemes", "age", "scheme", "fault"),
    [
        (("body-hex", "standard"), 0, "standard", None),
        (("body-hex",), 0, "body-hex", None),
        (("body-hex", "standard"), STALE, None, "at most 300 s allowed"),
    ],
)
def test_a_signature_without_a_time_counts_only_if_there_is_no_other(
    schemes: tuple[str, ...], age: int, scheme: str | None, fault: str | None
) -> None:
    arrival = verify_delivery(headers(*schemes, age=age), BODY, SECRET)
    assert arrival.scheme == scheme
    assert (arrival.fault is None) == (fault is None)
    assert (fault or "") in (arrival.fault or "")
