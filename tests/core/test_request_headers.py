"""The headers of an attempt, and which secrets sign at which time."""

from dataclasses import fields, replace
from uuid import UUID

from dispatcher.core.model import Delivery, Endpoint, Event, Sent
from dispatcher.core.request_headers import RequestBuilder, is_reserved_header, sent_headers
from dispatcher.core.signing import HeaderNames

NAMES = HeaderNames("X-Sign", "X-Hex", "X-Time", "X-Stripe")
REQUESTS = RequestBuilder(brand="Brand", schemes=("body-hex", "standard"), names=NAMES)
DELIVERY = Delivery(7, 5, UUID(int=1), 0, 2, 0, 0.0)
EVENT = Event(5, "a.b", b"{}")
ENDPOINT = Endpoint(
    id=UUID(int=1),
    environment_id="env_default",
    url="https://example.com/",
    may_send=True,
    ordered=False,
    secret="a" * 64,
    previous_secret="b" * 64,
    previous_until=100.0,
    headers={"X-Own": "1"},
    schemes=None,
    max_in_flight=None,
    timeout=None,
    retry=None,
    resting_until=None,
    rate_limit=None,
)


def signatures(now: float, as_of: float) -> int:
    headers = REQUESTS.build(DELIVERY, ENDPOINT, EVENT, now, as_of).headers
    return len(headers["webhook-signature"].split())


def test_an_old_secret_ends_by_the_databases_clock() -> None:
    assert signatures(now=500.0, as_of=99.9) == 2
    assert signatures(now=50.0, as_of=100.0) == 1


def test_the_signed_time_is_the_machines() -> None:
    request = REQUESTS.build(DELIVERY, ENDPOINT, EVENT, 1234.9, 0.0)
    assert request.headers["webhook-timestamp"] == "1234"


def test_the_recorded_headers_have_no_signature_and_no_custom_header() -> None:
    request = REQUESTS.build(DELIVERY, ENDPOINT, EVENT, 1234.0, 0.0)
    assert request.sent == Sent("Brand", 1234)
    assert request.headers["X-Own"] == "1"


def test_the_headers_that_were_sent_follow_from_what_is_recorded() -> None:
    request = REQUESTS.build(DELIVERY, ENDPOINT, EVENT, 1234.0, 0.0)
    shown = sent_headers(request.sent.brand, EVENT.type, DELIVERY.id, DELIVERY.attempt + 1)
    assert shown == {
        "Content-Type": "application/json",
        "User-Agent": REQUESTS.user_agent,
        "X-Brand-Event": "a.b",
        "X-Brand-Delivery": "dlv_7",
        "X-Brand-Attempt": "3",
    }
    assert (
        shown.items()
        - {"Content-Type": "application/json", "User-Agent": REQUESTS.user_agent}.items()
        <= request.headers.items()
    )


def test_an_endpoint_can_only_narrow_the_schemes() -> None:
    narrowed = replace(ENDPOINT, schemes=("body-hex", "stripe"))
    headers = REQUESTS.build(DELIVERY, narrowed, EVENT, 0.0, 0.0).headers
    assert "X-Sign" in headers
    assert not {"X-Stripe", "webhook-signature"} & set(headers)


def test_header_names_are_reserved_in_any_case() -> None:
    assert is_reserved_header("CONTENT-Length")
    assert is_reserved_header("Proxy-Authenticate")
    assert not is_reserved_header("X-Anything")


def test_a_webhook_may_not_set_any_header_of_a_request() -> None:
    """Each field of HeaderNames counts, also those of schemes that are switched off."""
    every = HeaderNames(**{one.name: f"X-{one.name}" for one in fields(HeaderNames)})
    own = RequestBuilder(brand="Brand", schemes=("body-hex",), names=every).own_headers()
    signed = {f"x-{one.name}" for one in fields(HeaderNames)}
    assert own == {"x-brand-event", "x-brand-delivery", "x-brand-attempt", *signed}
