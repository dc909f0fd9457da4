import ast
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any, get_args

import pytest
import standardwebhooks
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from dispatcher import receiver
from dispatcher.core import signing
from dispatcher.receiver import (
    MalformedSignatureError,
    MissingSignatureError,
    NoMatchingSignatureError,
    SignatureVerificationError,
    StaleTimestampError,
    construct_event,
    verify,
)

NAMES = signing.HeaderNames(
    body_hex="X-Paylent-Signature",
    timestamped_hex="x-noderails-signature",
    timestamped_hex_timestamp="x-noderails-timestamp",
    stripe="Stripe-Signature",
)
SECRET = "0123456789abcdef" * 4
PREVIOUS = "fedcba9876543210" * 4
NOW = 1772107200
EVENT = {"event": "user.created", "event_id": "evt_42", "data": {"n": 1}}
BODY = json.dumps(EVENT, separators=(",", ":")).encode()


def signed(
    *schemes: str,
    secrets: Sequence[str] = (SECRET,),
    timestamp: int = NOW,
    body: bytes = BODY,
    names: signing.HeaderNames = NAMES,
) -> dict[str, str]:
    return signing.sign(schemes, names, secrets, event_id="evt_42", timestamp=timestamp, body=body)


secrets_shown = st.one_of(
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + b64encode(key).decode()),
)
bodies = st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none())).map(
    lambda event: json.dumps(event).encode()
)
offsets = st.integers(-300, 300)


# Accepting ----------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(receiver.SCHEMES), min_size=1, unique=True),
    secrets_shown,
    bodies,
    offsets,
)
def test_a_signed_event_is_accepted_and_returned(
    schemes: list[str], secret: str, body: bytes, offset: int
) -> None:
    headers = signed(*schemes, secrets=(secret,), body=body, timestamp=NOW + offset)
    event = construct_event(body, headers, secret, schemes=schemes, now=NOW)
    assert event == json.loads(body)
    assert verify(body, headers, secret, schemes=schemes, now=NOW) in schemes


@pytest.mark.parametrize("scheme", receiver.SCHEMES)
def test_verify_returns_the_scheme_that_matched(scheme: str) -> None:
    headers = signed(*receiver.SCHEMES)
    assert verify(BODY, headers, SECRET, schemes=(scheme,), now=NOW) == scheme


def test_the_schemes_are_those_that_sign() -> None:
    signed_by = set(signing.SCHEMES)
    assert set(receiver.SCHEMES) == signed_by
    assert set(get_args(signing.SchemeName)) == signed_by


def test_the_default_time_is_now() -> None:
    headers = signed("standard", timestamp=int(time.time()))
    assert construct_event(BODY, headers, SECRET) == EVENT
    with pytest.raises(StaleTimestampError):
        construct_event(BODY, signed("standard", timestamp=NOW - 10**6), SECRET)


@pytest.mark.parametrize("scheme", ["standard", "stripe"])
@pytest.mark.parametrize("known", [SECRET, PREVIOUS, [SECRET, PREVIOUS], ("other" * 8, PREVIOUS)])
def test_during_an_overlap_either_secret_verifies(scheme: str, known: str | Sequence[str]) -> None:
    headers = signed(scheme, secrets=(SECRET, PREVIOUS))
    assert verify(BODY, headers, known, now=NOW) == scheme


@pytest.mark.parametrize("scheme", ["body-hex", "timestamped-hex"])
def test_a_receiver_that_knows_both_secrets_follows_a_rotation(scheme: str) -> None:
    for signer in (SECRET, PREVIOUS):
        headers = signed(scheme, secrets=(signer,))
        assert verify(BODY, headers, [SECRET, PREVIOUS], schemes=(scheme,), now=NOW) == scheme


@pytest.mark.parametrize("secret", [SECRET, "whsec_" + SECRET], ids=["bare", "prefixed"])
def test_standard_verifies_with_and_without_the_prefix(secret: str) -> None:
    assert verify(BODY, signed("standard"), secret, now=NOW) == "standard"


@pytest.mark.parametrize(
    "shape",
    [
        dict,
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: {name: f"  {value}\t" for name, value in headers.items()},
        lambda headers: list(headers.items()),
        lambda headers: iter([*headers.items(), *headers.items()]),
        lambda headers: [(n.lower().encode(), v.encode()) for n, v in headers.items()],
        lambda headers: CIMultiDict(headers),
        lambda headers: {"Content-Type": "application/json", **headers, "X-Größe": "ü"},
    ],
    ids=["dict", "capitals", "spaces", "pairs", "twice", "bytes", "multidict", "others"],
)
@pytest.mark.parametrize("scheme", receiver.SCHEMES)
def test_headers_come_in_any_shape_and_case(
    scheme: str, shape: Callable[[dict[str, str]], Any]
) -> None:
    headers = shape(signed(scheme))
    assert verify(BODY, headers, SECRET, schemes=(scheme,), now=NOW) == scheme


def test_the_headers_of_the_standard_librarys_own_server_are_understood() -> None:
    message = Message()
    for name, value in signed("standard").items():
        message[name] = value
    assert verify(BODY, message, SECRET, now=NOW) == "standard"  # type: ignore[arg-type]  # its items() lacks a precise type


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "\t{} \n", "{}\u00a0"])
@pytest.mark.parametrize("scheme", receiver.SCHEMES)
def test_white_space_around_a_secret_is_left_out(scheme: str, around: str) -> None:
    secret = around.format(SECRET)
    assert verify(BODY, signed(scheme), secret, schemes=[scheme], now=NOW) == scheme


def test_the_value_of_a_header_may_be_a_list_of_texts() -> None:
    lists = {name: [value] for name, value in signed("standard").items()}
    assert verify(BODY, lists, SECRET, now=NOW) == "standard"
    doubled = {name: (value, value) for name, value in signed("standard").items()}
    assert verify(BODY, doubled, SECRET, now=NOW) == "standard"
    two = {**lists, "webhook-signature": ["v1,AAAA", lists["webhook-signature"][0]]}
    with pytest.raises(
        MalformedSignatureError, match="two different headers named webhook-signature"
    ):
        verify(BODY, two, SECRET, now=NOW)


@pytest.mark.parametrize("value", [1, None, {"v1": "a"}, [None]])
def test_a_signature_header_that_is_not_text_is_a_type_error(value: Any) -> None:
    headers = {**signed("standard"), "webhook-signature": value}
    with pytest.raises(TypeError, match="a header must be text or a list of texts, not"):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize("headers", [None, "webhook-id: evt_1", b"webhook-id: evt_1"])
def test_headers_that_are_not_a_mapping_are_a_type_error(headers: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a mapping or pairs, not"):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize("secret", [None, [None], b"secret"])
def test_a_secret_of_another_type_is_a_type_error_with_a_sentence(secret: Any) -> None:
    with pytest.raises(TypeError, match="a secret must be text"):
        verify(BODY, signed("standard"), secret, now=NOW)


def test_other_headers_may_have_values_of_any_type() -> None:
    headers: Any = {**signed("standard"), "content-length": 7, "x-odd": None}
    assert verify(BODY, headers, SECRET, now=NOW) == "standard"


@pytest.mark.parametrize("payload", [bytearray(BODY), memoryview(BODY)], ids=["array", "view"])
def test_the_body_may_be_any_kind_of_bytes(payload: Any) -> None:
    assert construct_event(payload, signed("standard"), SECRET, now=NOW) == EVENT


@pytest.mark.parametrize(
    ("signature", "timestamp"),
    [
        ("X-Dispatcher-Signature", "X-Dispatcher-Timestamp"),
        ("X-Dispatcher-Timed-Signature", "X-Dispatcher-Timestamp"),
        ("x-any-signature", "x-other-timestamp"),
    ],
)
def test_a_timestamped_pair_is_found_whatever_the_brand(signature: str, timestamp: str) -> None:
    names = signing.HeaderNames("unused", signature, timestamp, "unused")
    headers = signed("timestamped-hex", "standard", names=names)
    scheme = verify(BODY, headers, SECRET, schemes=("timestamped-hex",), now=NOW)
    assert scheme == "timestamped-hex"


def test_the_timestamp_header_with_the_name_of_the_signature_header_is_used() -> None:
    headers = {"x-proxy-timestamp": "noon", **signed("timestamped-hex")}
    assert verify(BODY, headers, SECRET, now=NOW) == "timestamped-hex"


@pytest.mark.parametrize("scheme", ["timestamped-hex", "stripe", "body-hex"])
def test_headers_of_any_name_are_found_when_named(scheme: str) -> None:
    names = signing.HeaderNames("Proof", "Proof", "Proof-Time", "Proof")
    headers = signed(scheme, names=names)
    actual = verify(
        BODY,
        headers,
        SECRET,
        schemes=(scheme,),
        now=NOW,
        signature_header="PROOF",
        timestamp_header="proof-time",
    )
    assert actual == scheme
    with pytest.raises(MissingSignatureError):
        verify(BODY, headers, SECRET, schemes=(scheme,), now=NOW)


@pytest.mark.parametrize(
    "strangers",
    [
        {"x-amz-signature": "abc"},
        {"x-amz-signature": "abc", "x-amz-timestamp": "noon"},
        {"x-hub-signature": "sha1=abc", "x-proxy-signature": "t=1,v1=\udcff"},
        {"signature": 'keyId="k"'},
    ],
)
def test_signature_headers_of_other_senders_are_ignored(strangers: dict[str, str]) -> None:
    for headers in (strangers | signed("standard"), signed("standard") | strangers):
        assert verify(BODY, headers, SECRET, now=NOW) == "standard"


def test_unknown_signature_versions_are_ignored() -> None:
    headers = signed("standard", "stripe")
    headers["webhook-signature"] = "v1a,abc v2 " + headers["webhook-signature"]
    headers["Stripe-Signature"] += ",v0=abc,v2"
    for scheme in ("standard", "stripe"):
        assert verify(BODY, headers, SECRET, schemes=(scheme,), now=NOW) == scheme


# Other signers ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(min_size=24, max_size=64), bodies)
def test_what_the_standard_webhooks_library_signs_is_accepted(key: bytes, body: bytes) -> None:
    secret = "whsec_" + b64encode(key).decode()
    moment = datetime.fromtimestamp(NOW, UTC)
    headers = {
        "Webhook-Id": "msg_2",
        "Webhook-Timestamp": str(NOW),
        "Webhook-Signature": standardwebhooks.Webhook(secret).sign("msg_2", moment, body.decode()),
    }
    assert verify(body, headers, secret, now=NOW) == "standard"


@settings(deadline=None)
@given(secrets_shown, bodies)
def test_what_the_stripe_library_signs_is_accepted(secret: str, body: bytes) -> None:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, NOW)
    assert verify(body, {"Stripe-Signature": header}, secret, now=NOW) == "stripe"


# Refusing -----------------------------------------------------------------------------------------


@given(
    st.sampled_from(receiver.SCHEMES),
    st.sampled_from(["body", "header", "secret"]),
    st.data(),
)
def test_one_changed_character_anywhere_is_refused(
    scheme: str, where: str, data: st.DataObject
) -> None:
    headers, body, secret = signed(scheme), bytearray(BODY), SECRET
    if where == "body":
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    elif where == "secret":
        place = data.draw(st.integers(0, 63))
        secret = SECRET[:place] + "_" + SECRET[place + 1 :]
    else:
        name = data.draw(st.sampled_from(sorted(headers)))
        place = data.draw(st.integers(0, len(headers[name]) - 1))
        other = data.draw(st.characters().filter(lambda c: not c.isspace()))
        altered = headers[name][:place] + other + headers[name][place + 1 :]
        if altered == headers[name]:
            return
        headers[name] = altered
    with pytest.raises(SignatureVerificationError):
        verify(bytes(body), headers, secret, schemes=(scheme,), now=NOW)


@pytest.mark.parametrize("scheme", receiver.SCHEMES)
def test_a_signature_of_another_secret_is_refused(scheme: str) -> None:
    with pytest.raises(NoMatchingSignatureError, match="another secret"):
        verify(BODY, signed(scheme), PREVIOUS, schemes=(scheme,), now=NOW)


@pytest.mark.parametrize("scheme", receiver.TIMESTAMPED)
@pytest.mark.parametrize("age", [301, 10**6, -301, -(10**6)])
def test_a_timestamp_out_of_tolerance_is_stale(scheme: str, age: int) -> None:
    with pytest.raises(StaleTimestampError, match=f"{abs(age)} s {'ago' if age > 0 else 'ahead'}"):
        verify(BODY, signed(scheme), SECRET, now=NOW + age)


@pytest.mark.parametrize(
    ("tolerance", "age", "accepted"),
    [
        (300, 300, True),
        (300, -300, True),
        (300, 300.5, False),
        (10, 11, False),
        (1e9, 1e8, True),
        (0, 0, True),
        (0, 0.1, False),
        (-1, 0, False),
        (float("nan"), 0, False),
    ],
)
def test_the_tolerance_is_inclusive_and_can_be_chosen(
    tolerance: float, age: float, accepted: bool
) -> None:
    def run() -> str:
        return verify(BODY, signed("standard"), SECRET, tolerance=tolerance, now=NOW + age)

    if accepted:
        assert run() == "standard"
    else:
        with pytest.raises(StaleTimestampError):
            run()


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "noon",
        "nan",
        "inf",
        "1e9",
        "-1",
        "+1772107200",
        "1772107200.5",
        "1772107200000",
        "١٢",
        "0x69A03B40",
        "1_772_107_200",
        "9" * 5000,
        "17721 07200",
    ],
)
def test_a_timestamp_that_is_not_a_unix_time_is_malformed(timestamp: str) -> None:
    headers = signed("standard") | {"webhook-timestamp": timestamp}
    with pytest.raises(MalformedSignatureError, match="Unix seconds"):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("headers", "error", "complaint"),
    [
        ({}, MissingSignatureError, "hold no signature"),
        ({"webhook-id": "evt_42", "webhook-timestamp": "1"}, MissingSignatureError, "no signature"),
        ({"webhook-signature": "v1,abc"}, MissingSignatureError, "without webhook-id"),
        (
            {"webhook-signature": "v1,abc", "webhook-id": "evt_42"},
            MissingSignatureError,
            "webhook-timestamp",
        ),
        ({"x-a-signature": "ab" * 32}, MissingSignatureError, "without a header for its timestamp"),
        ({"x-a-signature": "sha256=" + "ab" * 32}, MissingSignatureError, "body-hex"),
        ({"x-a-signature": ""}, MissingSignatureError, "timestamp"),
        (
            {"webhook-signature": "v1,a", "webhook-id": "evt.1", "webhook-timestamp": "1"},
            MalformedSignatureError,
            "not an id",
        ),
        (
            {"webhook-signature": "v1,a", "webhook-id": "é", "webhook-timestamp": "1"},
            MalformedSignatureError,
            "not an id",
        ),
        ({"stripe-signature": "t=1,t=2,v1=a"}, MalformedSignatureError, "several timestamps"),
        ({"stripe-signature": "t="}, MalformedSignatureError, "Unix seconds"),
        ({"stripe-signature": f"t={NOW}"}, NoMatchingSignatureError, "no signature matches"),
        ({"stripe-signature": f"t={NOW},v1="}, NoMatchingSignatureError, "no signature matches"),
        ({"stripe-signature": f"t={NOW},v1=\udcff"}, NoMatchingSignatureError, "matches"),
        (
            {f"x-{n}-signature": f"t={NOW},v1=a" for n in range(9)},
            MalformedSignatureError,
            "9 signature headers",
        ),
        (
            [("webhook-id", "evt_1"), ("Webhook-Id", "evt_2")],
            MalformedSignatureError,
            "two different headers named webhook-id",
        ),
    ],
)
def test_requests_without_a_valid_signature_are_refused_with_the_reason(
    headers: Any, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize("version", ["v0", "v1a", "v2", "V1", ""])
def test_a_signature_of_an_unknown_version_is_refused(version: str) -> None:
    headers = signed("standard")
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1", version)
    with pytest.raises(NoMatchingSignatureError):
        verify(BODY, headers, SECRET, now=NOW)


def test_removing_the_timestamp_headers_does_not_make_a_request_valid() -> None:
    headers = signed(*receiver.SCHEMES)
    for name in ("webhook-signature", "x-noderails-timestamp", "Stripe-Signature"):
        del headers[name]
    with pytest.raises(MissingSignatureError):
        verify(BODY, headers, SECRET, now=NOW + 10**6)
    assert verify(BODY, headers, SECRET, schemes=("body-hex",), now=NOW + 10**6) == "body-hex"


def test_a_scheme_that_was_not_asked_for_is_not_enough() -> None:
    with pytest.raises(
        MissingSignatureError, match="scheme stripe, which is not among the accepted"
    ):
        verify(BODY, signed("stripe"), SECRET, schemes=("standard",), now=NOW)


def test_a_signature_is_valid_only_under_its_own_scheme() -> None:
    timed = signed("timestamped-hex")["x-noderails-signature"]
    forged = b"%d." % NOW + BODY
    headers = {"x-paylent-signature": f"sha256={timed}"}
    assert verify(forged, headers, SECRET, schemes=("body-hex",), now=NOW) == "body-hex"
    with pytest.raises(ValueError, match="Extra data"):
        construct_event(forged, headers, SECRET, schemes=("body-hex",), now=NOW)
    body_only = signed("body-hex")["X-Paylent-Signature"].removeprefix("sha256=")
    with pytest.raises(SignatureVerificationError):
        verify(BODY, {"x-a-signature": body_only, "x-a-timestamp": ""}, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (signed("stripe") | {"webhook-signature": "v1,a"}, StaleTimestampError),
        (
            {"webhook-signature": "v1,a"} | signed("stripe", secrets=(PREVIOUS,)),
            NoMatchingSignatureError,
        ),
        ({"a-signature": "x", "b-signature": "t=x"}, MalformedSignatureError),
    ],
)
def test_of_several_failures_the_most_specific_is_raised(
    headers: dict[str, str], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        verify(BODY, headers, SECRET, now=NOW + 10**6)


def test_no_error_repeats_a_secret_or_the_right_signature() -> None:
    right = signed(*receiver.SCHEMES)
    for scheme in receiver.SCHEMES:
        with pytest.raises(SignatureVerificationError) as refusal:
            verify(BODY + b" ", right, SECRET, schemes=(scheme,), now=NOW)
        assert SECRET not in str(refusal.value)
        assert not any(value in str(refusal.value) for value in right.values())


@pytest.mark.parametrize("secret", ["not base64", "é" * 32, "abcde"])
def test_a_secret_that_is_not_base64_signs_nothing_under_standard(secret: str) -> None:
    headers = signed("standard") | {"webhook-signature": "v1,"}
    with pytest.raises(NoMatchingSignatureError):
        verify(BODY, headers, secret, now=NOW)
    text_keyed = signed("stripe", secrets=(secret,))
    assert verify(BODY, text_keyed, secret, now=NOW) == "stripe"


# Calling it wrongly -------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [BODY.decode(), EVENT, None])
def test_a_body_that_was_decoded_or_parsed_is_a_type_error(payload: Any) -> None:
    with pytest.raises(TypeError, match="before any parsing"):
        construct_event(payload, signed("standard"), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", " \n", "whsec_", [], [SECRET, ""], ()])
def test_an_empty_secret_is_an_error(secret: Any) -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        verify(BODY, signed("standard"), secret, now=NOW)


@pytest.mark.parametrize("secret", [SECRET.encode(), None, [None], 7])
def test_a_secret_that_is_not_text_is_a_type_error(secret: Any) -> None:
    with pytest.raises(TypeError):
        verify(BODY, signed("standard"), secret, now=NOW)


@pytest.mark.parametrize("schemes", [(), ("rot13",), "standard", ("standard", "ed25519")])
def test_an_unknown_scheme_is_an_error(schemes: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="schemes must be among"):
        verify(BODY, signed("standard"), SECRET, schemes=schemes, now=NOW)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
        (b'{"a":"\xff"}', "decode"),
    ],
)
def test_a_validly_signed_body_that_is_not_an_event_is_a_value_error(
    body: bytes, complaint: str
) -> None:
    headers = signed("standard", body=body)
    assert verify(body, headers, SECRET, now=NOW) == "standard"
    with pytest.raises(ValueError, match=complaint):
        construct_event(body, headers, SECRET, now=NOW)


def test_the_file_can_be_copied_since_it_imports_the_standard_library_only() -> None:
    tree = ast.parse(Path(receiver.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "dispatcher"]
        )
    }
    assert imported <= sys.stdlib_module_names
