"""`dispatcher verify`: rightly signed requests, and every typical way to break one."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dispatcher.cli import main
from dispatcher.cli.signature_diagnosis import SignedRequest, diagnose
from dispatcher.core import signing
from dispatcher.receiver import SCHEMES, SignatureVerificationError, construct_event

NAMES = signing.HeaderNames(
    "X-Brand-Signature", "X-Hex-Signature", "X-Hex-Timestamp", "X-Stripe-Signature"
)
SECRET = "0123456789abcdef" * 4
BODY = (
    b'{"event":"user.created","event_id":"evt_7","timestamp":"2026-02-26T12:00:00.000Z",'
    b'"environment_id":"env_default","data":{"id":"usr_1","name":"J\xc3\xb8rn"}}'
)
NOW = 1_772_107_200


def signed(
    *schemes: str, body: bytes = BODY, secret: str = SECRET, timestamp: int = NOW
) -> dict[str, str]:
    return signing.sign(schemes, NAMES, [secret], event_id="evt_7", timestamp=timestamp, body=body)


def hints(
    headers: Mapping[str, str], body: bytes = BODY, secret: str = SECRET, now: int = NOW
) -> str:
    request = SignedRequest(body, list(headers.items()), (secret,))
    verdict = diagnose(request, tolerance=300, now=now)
    assert verdict.scheme is None
    return "\n".join(verdict.hints)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_that_holds_is_named(scheme: str) -> None:
    request = SignedRequest(BODY, list(signed(scheme).items()), (SECRET,))
    verdict = diagnose(request, scheme=scheme, tolerance=300, now=NOW)
    assert verdict.scheme == scheme
    assert [(check.scheme, check.error) for check in verdict.checks] == [(scheme, None)]
    assert bool(verdict.hints) == (scheme == "body-hex")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_by_default_it_accepts_what_receivers_accept(scheme: str) -> None:
    request = SignedRequest(BODY, list(signed(scheme).items()), (SECRET,))
    verdict = diagnose(request, tolerance=300, now=NOW)
    try:
        construct_event(BODY, signed(scheme), SECRET, now=NOW)
    except SignatureVerificationError:
        assert verdict.scheme is None
        assert any("--scheme body-hex" in hint for hint in verdict.hints)
    else:
        assert verdict.scheme == scheme


def test_a_valid_untimed_signature_does_not_hide_a_stale_timed_one() -> None:
    request = SignedRequest(BODY, list(signed("body-hex", "standard").items()), (SECRET,))
    verdict = diagnose(request, tolerance=300, now=NOW + 2100)
    assert verdict.scheme is None
    assert [(check.scheme, check.error) for check in verdict.checks] == [
        ("standard", "StaleTimestamp"),
        ("body-hex", None),
    ]


def test_an_invalid_signature_beside_a_valid_one_is_named() -> None:
    headers = {**signed("standard", "stripe"), "X-Stripe-Signature": f"t={NOW},v1={'0' * 64}"}
    verdict = diagnose(
        SignedRequest(BODY, list(headers.items()), (SECRET,)), tolerance=300, now=NOW
    )
    assert verdict.scheme == "standard"
    assert "checks stripe alone refuses this request" in verdict.hints[0]


REWRITTEN = json.dumps(json.loads(BODY)).encode()
SORTED = json.dumps(json.loads(BODY), sort_keys=True).encode()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (BODY + b"\n", "ends with a line end"),
        (BODY + b"\r\n", "ends with a line end"),
        (b"\xef\xbb\xbf" + BODY, "byte order mark"),
        (REWRITTEN, "parsed and written again: verify the bytes"),
        (SORTED, "parsed and written again: verify the bytes"),
        (BODY.replace(b"usr_1", b"usr_2"), "the secret belongs to another webhook"),
        (BODY.replace(b'"id":"usr_1"', b'"n":1.0') + b" ", "the secret belongs to another webhook"),
        (b'{ "event":"a.b","event_id":"evt_7"}', "does not begin as Dispatcher writes it"),
        (BODY.replace(b"evt_7", b"evt_8"), "the body belongs to the event 'evt_8'"),
        (BODY[:50], "the body is not JSON"),
    ],
)
def test_a_body_that_was_changed_is_explained(scheme: str, body: bytes, hint: str) -> None:
    headers = {"webhook-id": "evt_7", **signed(scheme)}
    assert hint in hints(headers, body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (BODY + b"\n", "lacks the line end"),
        (BODY.replace(b",", b",\r\n"), "other line ends"),
    ],
)
def test_a_body_that_lost_something_is_explained(body: bytes, hint: str) -> None:
    received = body.rstrip().replace(b"\r\n", b"\n")
    assert hint in hints(signed("standard", body=body), received)


@pytest.mark.parametrize(
    ("scheme", "real", "configured", "hint"),
    [
        ("standard", SECRET, f'"{SECRET}"', "quotes or spaces"),
        ("stripe", SECRET, f"' {SECRET}", "quotes or spaces"),
        ("body-hex", SECRET, f"whsec_{SECRET}", "begins with whsec_"),
        ("stripe", f"whsec_{SECRET}", SECRET, "lacks its beginning whsec_"),
        ("timestamped-hex", SECRET, SECRET.upper(), "in capitals"),
        ("standard", SECRET, "f" * 64, "the secret belongs to another webhook"),
    ],
)
def test_a_nearly_right_secret_is_explained(
    scheme: str, real: str, configured: str, hint: str
) -> None:
    explanation = hints(signed(scheme, secret=real), secret=configured)
    assert hint in explanation
    assert SECRET not in explanation


def test_two_mistakes_at_once_are_both_named() -> None:
    explanation = hints(signed("stripe"), REWRITTEN, f"' {SECRET} '")
    assert "written again" in explanation
    assert "quotes or spaces" in explanation


def test_an_old_request_is_known_to_be_rightly_signed() -> None:
    assert "the signature itself is valid" in hints(signed("standard"), now=NOW + 301)


def test_headers_without_a_signature_are_listed() -> None:
    assert "are: host, x-brand-event" in hints({"X-Brand-Event": "a", "Host": "b"})


# ── the command ──────────────────────────────────────────────────────────────────────────────────

Verify = Callable[..., Result]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Runs the command on a request in files, as of when it was signed."""

    def run(
        *args: str,
        headers: str | None = None,
        stdin: bytes = BODY,
        env: Mapping[str, str | None] | None = None,
    ) -> Result:
        text = headers or "".join(f"{n}: {v}\n" for n, v in signed("standard").items())
        (tmp_path / "headers").write_text(text)
        command = ["verify", "--headers", str(tmp_path / "headers"), "--at", "2026-02-26T12:00:00Z"]
        variables = {"DISPATCHER_WEBHOOK_SECRET": SECRET} if env is None else env
        return CliRunner().invoke(main, [*command, *args], input=stdin, env=variables)

    return run


def test_verify_exits_with_0_if_all_is_well_and_else_with_1(verify: Verify) -> None:
    good = verify()
    assert (good.exit_code, good.output) == (0, "The signature is valid (standard).\n")
    bad = verify(stdin=REWRITTEN)
    assert bad.exit_code == 1
    assert bad.output.startswith("The signature is not valid.\n  standard ")
    assert "hint: the body was parsed and written again" in bad.output


def test_a_program_reads_which_check_failed(verify: Verify) -> None:
    report = json.loads(verify("--json", stdin=REWRITTEN).output)
    assert (report["ok"], report["scheme"]) == (False, None)
    assert [(c["scheme"], c["error"]) for c in report["checks"]] == [
        ("standard", "NoMatchingSignature")
    ]
    report = json.loads(verify("--json").output)
    assert (report["ok"], report["scheme"], report["hints"]) == (True, "standard", [])


def test_headers_may_be_json_or_have_the_requests_own_line(verify: Verify) -> None:
    headers = signed("standard")
    lines = "".join(f"{n}: {v}\r\n" for n, v in headers.items())
    for text in (
        json.dumps(headers),
        json.dumps(list(headers.items())),
        json.dumps({name: [value] for name, value in headers.items()}),
        f"POST /in HTTP/1.1\r\n{lines}\r\n",
        "".join(f"> {line}\n" for line in ("POST /in HTTP/1.1", *lines.splitlines(), "")),
    ):
        assert verify(headers=text).exit_code == 0
    arguments = [part for n, v in headers.items() for part in ("-H", f"{n}: {v}")]
    assert verify(*arguments, headers="\n").exit_code == 0


def test_the_secret_may_be_one_of_several_in_a_file(verify: Verify, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{'f' * 64}\n{SECRET}\n")
    assert verify("--secret-file", str(file), env={}).exit_code == 0


def test_the_body_may_be_in_a_file_and_the_secret_on_standard_input(
    verify: Verify, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY)
    arguments = ("--body", str(file), "--secret-file", "-")
    assert verify(*arguments, stdin=SECRET.encode(), env={}).exit_code == 0


def test_one_scheme_and_a_longer_tolerance_can_be_asked_for(verify: Verify) -> None:
    assert verify("--scheme", "stripe").exit_code == 1
    late = ("--at", "2026-02-26T13:00:00Z")
    assert "hint: the signature itself is valid" in verify(*late).output
    assert verify(*late, "--tolerance", "2h").exit_code == 0


@pytest.mark.parametrize(
    ("args", "headers", "stdin", "env", "message"),
    [
        ([], None, BODY, {"DISPATCHER_WEBHOOK_SECRET": ""}, "No signing secret is given"),
        (["--secret-file", "-"], None, BODY, None, "Only one of"),
        (["-H", "nothing"], None, BODY, None, "'nothing' is not a header"),
        ([], "[1]", BODY, None, "neither a JSON object"),
        (["--at", "yesterday"], None, BODY, None, "2026-02-26T12:00:00Z"),
        (["--tolerance", "0s"], None, BODY, None, "must be a duration"),
        (["--scheme", "other"], None, BODY, None, "'other'"),
    ],
)
def test_wrong_usage_exits_with_2(
    verify: Verify,
    args: list[str],
    headers: str | None,
    stdin: bytes,
    env: dict[str, str | None] | None,
    message: str,
) -> None:
    result = verify(*args, headers=headers, stdin=stdin, env=env)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_file_that_is_not_there_is_named(verify: Verify) -> None:
    result = verify("--body", "/nowhere/body")
    assert (result.exit_code, result.stderr) == (1, "/nowhere/body: No such file or directory\n")


def test_text_of_others_cannot_control_the_terminal(verify: Verify) -> None:
    body = BODY.replace(b"evt_7", b"evt_\\u001b[2J")
    assert "\x1b" not in verify(stdin=body).output
