"""What no page shows again of a form: secret fields, and secrets within the other fields. Pure.

This applies to a form that was refused, and to one that is kept until its user has signed in.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

SECRET_FIELDS: Final = frozenset({"username", "password", "client_secret", "key", "header_value"})
"""Fields that are left out as a whole. A user name may be a secret: some are API keys."""
URL_FIELDS: Final = frozenset({"url", "token_url"})
"""Fields with a URL, of which the user name and the password are left out."""
PEM_FIELDS: Final = frozenset({"certificate", "ca"})
"""Fields with certificates, of which private keys are left out: some files hold both."""

_NOTES: Final[Mapping[str, tuple[str, str]]] = {
    **{
        name: (
            name,
            "What stood before the host was left out, as it may be a secret. Give it again.",
        )
        for name in URL_FIELDS
    },
    **{
        name: (name, "A private key was left out. It has a field of its own.")
        for name in PEM_FIELDS
    },
    "header_value": ("headers", "The values that you typed were left out. Give the headers again."),
}
"""Where a refused form says what it lacks. The other secret fields are seen to be empty."""
_AUTHORITY: Final = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]*:(?=[/\\]))?[/\\]*([^/\\?#]*)", re.IGNORECASE
)
"""Match what stands before the host, and then the host with what belongs to it.

A URL that was refused may lack its scheme or a slash of it, or have one too many.
"""
_HOST: Final = re.compile(r"(?:\[[0-9a-f:.]*\]|[^:\[\]]+)(?::[0-9]+)?", re.IGNORECASE)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----\s*|\Z)", re.DOTALL
)

Fields = list[tuple[str, str]]


def without_secrets(fields: Iterable[tuple[str, str]]) -> tuple[Fields, tuple[str, ...]]:
    """Return the fields of a form without secrets.

    Also return the names of the fields that lack something now, each once.
    """
    kept: Fields = []
    left_out: dict[str, None] = {}
    for name, value in fields:
        shown = _shown(name, value)
        if name not in SECRET_FIELDS:
            kept.append((name, shown))
        if shown != value:
            left_out[name] = None
    return kept, tuple(left_out)


def refused_form(
    fields: Iterable[tuple[str, str]], errors: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields of a refused form as its page shows them again, the last value of each.

    Also return its errors by field. A field without an error that lacks a secret now says so.
    """
    kept, left_out = without_secrets(fields)
    return dict(kept), {**dict(_NOTES[name] for name in left_out if name in _NOTES), **errors}


def without_userinfo(url: str) -> str:
    """Return a URL without the user name and the password in it, also if it is malformed.

    A password may hold characters that end the host of a URL, such as a slash. So if what stands
    in the place of the host cannot be one, everything from there to the last @ is left out.
    """
    match = _AUTHORITY.match(url)
    start, end = match.span(1) if match else (0, len(url))
    authority = url[start:end]
    if "@" in authority:
        return url[:start] + url[start + authority.rindex("@") + 1 :]
    if "@" in url[end:] and not _HOST.fullmatch(authority):
        return url[:start] + url[url.rindex("@") + 1 :]
    return url


def _shown(name: str, value: str) -> str:
    if name in SECRET_FIELDS:
        return ""
    if name in URL_FIELDS:
        return without_userinfo(value)
    return _PRIVATE_KEY.sub("", value) if name in PEM_FIELDS else value
