"""The diagnosis of an invalid signature: it tries typical mistakes. This module does no I/O."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

from dispatcher.receiver import (
    SCHEMES,
    TIMESTAMPED,
    MissingSignatureError,
    NoMatchingSignatureError,
    SignatureVerificationError,
    StaleTimestampError,
    verify,
)

Fields = Sequence[tuple[str, str]]
"""The headers as they arrived."""

BODY_LIMIT_BYTES = 1024 * 1024
"""Variants of a larger body are not tried, because that would take too long."""

_ORDER = ("event", "event_id", "timestamp", "environment_id", "data")
_WRITTEN = re.compile(rb'\{"event":"[^"]*","event_id":"[^"]*","timestamp":"')


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one scheme: None if the signature is valid, else the kind of error and why."""

    scheme: str
    error: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for a request.

    `scheme` is the one by which a receiver accepts it, or None. `checks` has an entry for each
    scheme whose headers are present, or for all if there are none. `hints` say what to look at, the
    likeliest first. A valid request may have hints as well.
    """

    scheme: str | None
    checks: tuple[Check, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed request and the possible secrets: the arguments of `receiver.verify`."""

    body: bytes
    headers: Fields
    secrets: tuple[str, ...]

    def failure(self, scheme: str, tolerance: float, now: float) -> Exception | None:
        """Return the error of verifying the request by one scheme, None if it is valid.

        `tolerance` and `now` are in seconds.
        """
        try:
            verify(
                self.body,
                self.headers,
                self.secrets,
                schemes=(scheme,),
                tolerance=tolerance,
                now=now,
            )
        except (SignatureVerificationError, ValueError) as failure:
            return failure
        return None


def diagnose(
    request: SignedRequest, *, scheme: str | None = None, tolerance: float, now: float
) -> Verdict:
    """Return whether `construct_event` accepts a request, and why or why not.

    As there, a scheme that signs no time is accepted only if `scheme` names it. `tolerance` is in
    seconds, and `now` is a Unix time in seconds.
    """
    tried = SCHEMES if scheme is None else (scheme,)
    failures = {name: request.failure(name, tolerance, now) for name in tried}
    present = {n: f for n, f in failures.items() if not isinstance(f, MissingSignatureError)}
    checks = tuple(_check(name, failure) for name, failure in (present or failures).items())
    accepted = TIMESTAMPED if scheme is None else (scheme,)
    valid = next((name for name in accepted if name in failures and failures[name] is None), None)
    if valid is not None:
        return Verdict(valid, checks, tuple(_reservations(valid, present)))
    return Verdict(None, checks, tuple(_hints(request, failures)))


def _check(scheme: str, failure: Exception | None) -> Check:
    if failure is None:
        return Check(scheme, None, None)
    name = type(failure).__name__
    kind = name.removesuffix("Error") if isinstance(failure, SignatureVerificationError) else name
    return Check(scheme, kind, str(failure))


def _reservations(scheme: str, present: Mapping[str, Exception | None]) -> Iterator[str]:
    """Yield what a receiver should know although the request is accepted."""
    if scheme == "body-hex":
        yield _NO_TIME
    for other, failure in present.items():
        if failure is not None:
            yield f"a receiver that checks {other} alone refuses this request: {failure}"


_NO_TIME = (
    "body-hex signs no time: a captured request can be repeated at any later time, so"
    ' construct_event accepts it only if asked to, by schemes=("body-hex",)'
)


def _hints(request: SignedRequest, failures: dict[str, Exception | None]) -> Iterator[str]:
    """Yield hints about a request that no scheme accepts."""
    kinds = {type(failure) for failure in failures.values() if failure is not None}
    if failures.get("body-hex", kinds) is None:
        yield f"the signature of body-hex is valid; to accept it, use --scheme body-hex. {_NO_TIME}"
    if StaleTimestampError in kinds:
        yield (
            "the signature itself is valid: the request is old (--at and --tolerance set the time"
            " to check it at), or a clock is wrong, here or at the sender"
        )
    elif NoMatchingSignatureError in kinds:
        schemes = [
            s for s, failure in failures.items() if isinstance(failure, NoMatchingSignatureError)
        ]
        yield from _mismatch(request, schemes)
    elif kinds <= {MissingSignatureError}:
        names = sorted({name.lower() for name, _ in request.headers})
        yield f"the headers given are: {', '.join(names) or 'none'}"
        yield (
            "a proxy may have removed the headers of the signature, or the wrong headers were saved"
        )


def _mismatch(request: SignedRequest, schemes: Sequence[str]) -> Iterator[str]:
    """Yield the likely reasons why no signature of these schemes matches."""
    mixed_up = list(_of_another_event(request))
    yield from mixed_up
    mistakes = next(_try_mistakes(request, schemes), None)
    if mistakes is not None:
        yield from mistakes
        return
    if not mixed_up and not _WRITTEN.match(request.body):
        yield (
            "the body does not begin as Dispatcher writes it: it was parsed and written again,"
            " which changes spaces, numbers or the order of keys. Verify the bytes as they arrived"
        )
    yield (
        "perhaps the secret belongs to another webhook, or was rotated since, or the body was"
        " changed on the way"
    )


def _of_another_event(request: SignedRequest) -> Iterator[str]:
    """Yield a hint if the headers and the body do not belong together."""
    try:
        event = json.loads(request.body)
    except (ValueError, RecursionError):
        yield "the body is not JSON: is it complete, and is it the body of this request?"
        return
    named = {name.lower(): value for name, value in request.headers}
    event_id = event.get("event_id") if isinstance(event, dict) else None
    if isinstance(event_id, str) and event_id != named.get("webhook-id", event_id):
        yield (
            f"the body belongs to the event {event_id!r}, and the headers to another one,"
            f" {named['webhook-id']!r}"
        )


def _try_mistakes(request: SignedRequest, schemes: Sequence[str]) -> Iterator[list[str]]:
    """Yield the mistakes that explain the signature, the fewest first."""
    bodies, secrets = list(_bodies(request.body)), list(_secrets(request.secrets))
    pairs = sorted(
        product(bodies, secrets), key=lambda pair: sum(bool(mistake) for mistake, _ in pair)
    )
    for (about_body, body), (about_secret, secret) in pairs:
        changed = SignedRequest(body, request.headers, secret)
        if any(changed.failure(scheme, inf, 0.0) is None for scheme in schemes):
            yield [mistake for mistake in (about_body, about_secret) if mistake]


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each body that may have been signed instead, with the mistake that changed it."""
    yield "", body
    for mistake, change in _BODIES:
        for changed in change(body) if len(body) <= BODY_LIMIT_BYTES else ():
            if changed != body:
                yield mistake, changed


def _without_newline(body: bytes) -> Iterator[bytes]:
    yield body.removesuffix(b"\n").removesuffix(b"\r")
    yield body.rstrip()


def _with_newline(body: bytes) -> Iterator[bytes]:
    yield body + b"\n"
    yield body + b"\r\n"


def _with_other_lines(body: bytes) -> Iterator[bytes]:
    yield body.replace(b"\r\n", b"\n")
    yield body.replace(b"\n", b"\r\n")


def _without_mark(body: bytes) -> Iterator[bytes]:
    yield body.removeprefix(b"\xef\xbb\xbf")


def _written_again(body: bytes) -> Iterator[bytes]:
    """Yield the body as JSON libraries would write it after parsing."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    values = [value]
    if isinstance(value, dict) and set(value) == set(_ORDER):
        values.append({name: value[name] for name in _ORDER})
    for item, separators, ascii_ in product(values, ((",", ":"), (", ", ": ")), (False, True)):
        try:
            text = json.dumps(item, separators=separators, ensure_ascii=ascii_)
        except RecursionError:  # it is nested too deeply
            return
        yield text.encode(errors="replace")


_BODIES: tuple[tuple[str, Callable[[bytes], Iterator[bytes]]], ...] = (
    ("the body given ends with a line end that was not sent", _without_newline),
    ("the body given lacks the line end with which the sent one ends", _with_newline),
    ("the body given has other line ends than the sent one", _with_other_lines),
    ("the body given begins with a byte order mark that was not sent", _without_mark),
    (
        "the body was parsed and written again: verify the bytes as they arrived, before any"
        " framework reads them as JSON",
        _written_again,
    ),
)


def _secrets(secrets: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "", secrets
    for mistake, change in _SECRETS:
        changed = tuple(change(secret) for secret in secrets)
        if changed != secrets and all(text.removeprefix("whsec_") for text in changed):
            yield mistake, changed


_SECRETS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("the secret given has quotes or spaces around it", lambda text: text.strip(" \t\r\n\"'")),
    (
        "the secret given begins with whsec_, which is not part of it for this scheme",
        lambda text: text.removeprefix("whsec_"),
    ),
    (
        "the secret given lacks its beginning whsec_, which is part of the key for this scheme",
        lambda text: text if text.startswith("whsec_") else f"whsec_{text}",
    ),
    ("the secret given is in capitals", str.lower),
)
