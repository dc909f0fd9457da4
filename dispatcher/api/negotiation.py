"""Which dialect an answer is in: what Accept names, else that of the body, else the envelope."""

from collections.abc import Mapping
from email.message import Message

from dispatcher.api.answers import Failure
from dispatcher.api.dialects import Dialect, envelope, jsonapi

DIALECTS: Mapping[str, Dialect] = {
    envelope.media_type: envelope,
    jsonapi.media_type: jsonapi,
}
WILDCARDS = ("*/*", "application/*")


def of_body(content_type: str | None) -> Dialect | None:
    """The dialect of a request's body; None where the header is absent or names neither.

    JSON:API allows its media type no parameters but its own `ext` and `profile`, of which we have
    none.
    """
    if content_type is None:
        return None
    essence, parameters = _parsed(content_type)
    if essence == jsonapi.media_type and parameters:
        return None
    return DIALECTS.get(essence)


def of_answer(accept: str | None, body: Dialect | None) -> Dialect:
    """Raises a 406 when nothing that is accepted can be given."""
    if accept is None or not accept.strip():
        return body or envelope
    named: list[tuple[float, Dialect]] = []
    anything = False
    for part in accept.split(","):
        essence, parameters = _parsed(part)
        quality = _quality(parameters.pop("q", "1"))
        if quality <= 0:
            continue
        anything = anything or essence in WILDCARDS
        dialect = DIALECTS.get(essence)
        if dialect is not None and not (dialect is jsonapi and parameters):
            named.append((quality, dialect))
    if named:
        return max(named, key=lambda each: each[0])[1]
    if anything:
        return body or envelope
    raise Failure(
        406, "not_acceptable", f"Answers are {envelope.media_type} or {jsonapi.media_type}"
    )


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters."""
    header = Message()
    header["Content-Type"] = text.strip()
    found = header.get_params() or [("", "")]
    return found[0][0].lower(), {name.lower(): value for name, value in found[1:]}


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


__all__ = ["DIALECTS", "envelope", "jsonapi", "of_answer", "of_body"]
