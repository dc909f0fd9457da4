import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence

import pytest
import standardwebhooks
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core import signing

NAMES = signing.HeaderNames(
    body_hex="X-Paylent-Signature",
    timestamped_hex="x-noderails-signature",
    timestamped_hex_timestamp="x-noderails-timestamp",
    stripe="Stripe-Signature",
)
ALL = tuple(signing.SCHEMES)
SECRET = "0123456789abcdef" * 4
PREVIOUS = "fedcba9876543210" * 4
BODY = b'{"event":"user.created","n":1.10}'

# Made with the openssl command line from the values above, the id evt_42 and the time 1772107200.
VECTORS = [
    (
        "body-hex",
        {
            "X-Paylent-Signature": "sha256="
            "0260243d06919a1574fc357b8e69ae9a83ffba42ad682c609ea7a725c7acd83a"
        },
    ),
    (
        "standard",
        {
            "webhook-id": "evt_42",
            "webhook-timestamp": "1772107200",
            "webhook-signature": "v1,HgGooRL4QIwbksbC0a8DamZCsOTDBlw6S5TGy/3lHx0= "
            "v1,Z1KnXmDjibfsiT9yxibDgVOGV5uMZEokUrgyBgBB5rg=",
        },
    ),
    (
        "timestamped-hex",
        {
            "x-noderails-signature": (
                "eb913bf6720fc0e4e62fcf61da184b42233080d397c48d53f719f4c42fe92381"
            ),
            "x-noderails-timestamp": "1772107200",
        },
    ),
    (
        "stripe",
        {
            "Stripe-Signature": "t=1772107200,"
            "v1=eb913bf6720fc0e4e62fcf61da184b42233080d397c48d53f719f4c42fe92381,"
            "v1=2cd7d8b03b00cbbae20f9c0b4bac97e73637799bcc490e9e2312e36f75d4d860"
        },
    ),
]


def sign(
    schemes: Sequence[str] = ALL,
    secrets: Sequence[str] = (SECRET,),
    *,
    event_id: str = "evt_42",
    timestamp: int = 1772107200,
    body: bytes = BODY,
) -> dict[str, str]:
    return signing.sign(schemes, NAMES, secrets, event_id=event_id, timestamp=timestamp, body=body)


def verify_webhook(raw_body: bytes, signature_header: str, secret: str) -> bool:
    """Verify a signature with the exact code that receivers of `body-hex` are given."""
    expected = hmac.new(secret.encode(), raw_body, hashlib.sha256).hexdigest()
    received = signature_header.replace("sha256=", "")
    return hmac.compare_digest(expected, received)


secrets_shown = st.one_of(
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.binary(min_size=24, max_size=64).map(lambda key: b64encode(key).decode()),
    st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + b64encode(key).decode()),
)
bodies = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)


@pytest.mark.parametrize(("scheme", "headers"), VECTORS, ids=[scheme for scheme, _ in VECTORS])
def test_a_scheme_gives_its_test_vector_and_lists_also_have_the_previous_signature(
    scheme: str, headers: dict[str, str]
) -> None:
    assert sign([scheme], (SECRET, PREVIOUS)) == headers


def test_every_scheme_has_a_test_vector() -> None:
    assert [scheme for scheme, _ in VECTORS] == list(signing.SCHEMES)


def test_several_schemes_sign_side_by_side() -> None:
    everything: dict[str, str] = {}
    for _, headers in VECTORS:
        everything |= headers
    assert sign(ALL, (SECRET, PREVIOUS)) == everything


def test_without_a_previous_secret_a_list_holds_one_signature() -> None:
    both = sign(ALL, (SECRET, PREVIOUS))
    one = sign(ALL, (SECRET,))
    assert one["webhook-signature"] == both["webhook-signature"].partition(" ")[0]
    assert one["Stripe-Signature"] == both["Stripe-Signature"].rpartition(",")[0]


def test_headers_with_one_value_are_signed_by_the_current_secret_alone() -> None:
    schemes = ("body-hex", "timestamped-hex")
    assert sign(schemes, (SECRET, PREVIOUS)) == sign(schemes, (SECRET,))


@settings(deadline=None)
@given(secrets_shown, secrets_shown, bodies)
def test_the_standard_webhooks_library_accepts_either_secret_during_an_overlap(
    secret: str, previous: str, body: bytes
) -> None:
    headers = sign(("standard",), (secret, previous), timestamp=int(time.time()), body=body)
    for known in (secret, previous):
        standardwebhooks.Webhook(known).verify(body, headers, json_parse=False)


def test_the_standard_webhooks_library_accepts_the_hex_secret_with_and_without_prefix() -> None:
    headers = sign(("standard",), (SECRET,), timestamp=int(time.time()))
    assert standardwebhooks.Webhook(SECRET).verify(BODY, headers) == {
        "event": "user.created",
        "n": 1.1,
    }
    standardwebhooks.Webhook("whsec_" + SECRET).verify(BODY, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(PREVIOUS).verify(BODY, headers)


@settings(deadline=None)
@given(secrets_shown, secrets_shown, bodies)
def test_the_stripe_library_accepts_either_secret_during_an_overlap(
    secret: str, previous: str, body: bytes
) -> None:
    header = sign(("stripe",), (secret, previous), timestamp=int(time.time()), body=body)
    for known in (secret, previous):
        assert stripe.WebhookSignature.verify_header(
            body, header["Stripe-Signature"], known, tolerance=300
        )


def test_the_stripe_library_rejects_another_secret() -> None:
    header = sign(("stripe",), (SECRET,), timestamp=int(time.time()))["Stripe-Signature"]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(BODY, header, PREVIOUS, tolerance=300)


@given(secrets_shown, secrets_shown, st.binary())
def test_the_documented_receiver_accepts_the_current_secret_only(
    secret: str, previous: str, body: bytes
) -> None:
    header = sign(("body-hex",), (secret, previous), body=body)["X-Paylent-Signature"]
    assert verify_webhook(body, header, secret)
    assert verify_webhook(body, header, previous) is (secret == previous)


@given(secrets_shown, st.integers(min_value=0, max_value=2**40), st.binary())
def test_timestamped_hex_is_the_hmac_of_timestamp_dot_body(
    secret: str, timestamp: int, body: bytes
) -> None:
    headers = sign(("timestamped-hex",), (secret,), timestamp=timestamp, body=body)
    sent = headers["x-noderails-timestamp"]
    expected = hmac.new(secret.encode(), sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert int(sent) == timestamp
    assert headers["x-noderails-signature"] == expected


@pytest.mark.parametrize(
    ("schemes", "secrets", "complaint"),
    [
        ((), (SECRET,), "needs a scheme and a secret"),
        (ALL, (), "needs a scheme and a secret"),
        (ALL, ("",), "needs a scheme and a secret"),
        (("stripe",), (SECRET, ""), "needs a scheme and a secret"),
        (("standard",), ("not base64 at all",), "base64"),
        (("standard",), (SECRET, "whsec_"), "base64"),
        (("body-hex", "rot13"), (SECRET,), "unknown signature scheme 'rot13'"),
    ],
)
def test_an_unusable_secret_or_scheme_is_an_error(
    schemes: Sequence[str], secrets: Sequence[str], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        sign(schemes, secrets)


@pytest.mark.parametrize("size", [24, 25, 32, 48, 63, 64])
@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_padded_base64_of_24_to_64_bytes_is_a_secret(size: int, prefix: str) -> None:
    text = prefix + b64encode(bytes(range(size))).decode()
    assert signing.validate_secret(text) == text
    assert signing.key_for_standard(text) == bytes(range(size))


@given(st.binary(min_size=32, max_size=32).map(bytes.hex))
def test_64_hex_characters_are_always_a_secret_of_48_bytes(text: str) -> None:
    assert signing.validate_secret(text) == text
    assert signing.key_for_standard(text) == b64decode(text)
    assert len(signing.key_for_standard(text)) == 48


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("whsec_", id="only the prefix"),
        pytest.param("c", id="one byte"),
        pytest.param(b64encode(b"k" * 23).decode(), id="23 bytes"),
        pytest.param(b64encode(b"k" * 65).decode(), id="65 bytes"),
        pytest.param(b64encode(b"k" * 2**20).decode(), id="a megabyte"),
        pytest.param("correct horse battery staple, twice", id="a passphrase"),
        pytest.param(b64encode(b"k" * 32).decode().rstrip("="), id="unpadded"),
        pytest.param(b64encode(b"k" * 32).decode() + "=", id="padded too much"),
        pytest.param("-_" * 32, id="URL-safe alphabet"),
        pytest.param("A" * 42 + "B=", id="stray bits before the padding"),
        pytest.param(SECRET + "\n", id="trailing newline"),
        pytest.param(" " + SECRET, id="leading space"),
        pytest.param("whsec_whsec_" + SECRET, id="prefix twice"),
        pytest.param("WHSEC_" + SECRET, id="prefix in capitals"),
        pytest.param("é" * 64, id="not ASCII"),
        pytest.param("\ud800" * 64, id="lone surrogates"),
        pytest.param("\x00" * 64, id="NUL"),
    ],
)
def test_other_secrets_are_refused_without_repeating_them(text: str) -> None:
    rule = "must be the padded base64 of 24 to 64 bytes, in the standard alphabet"
    with pytest.raises(ValueError, match=rule) as refusal:
        signing.validate_secret(text)
    message = str(refusal.value)
    assert len(message) < 100
    assert len(text) < 2 or text not in message
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    message=st.binary(max_size=500),
)
def test_the_hmac_equals_that_of_the_standard_library(secret: str, message: bytes) -> None:
    expected = hmac.digest(secret.encode(), message, "sha256").hex()
    signer = signing.Signer(["body-hex"], NAMES, [secret])

    assert signer.sign("evt_42", "0", message) == [f"sha256={expected}"]
    assert signer.sign("evt_42", "0", message) == [f"sha256={expected}"]  # with the prepared key
