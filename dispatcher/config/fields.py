"""The types of values in the configuration: each parses text, or raises ValueError with a reason.

A reason repeats the text only where the text cannot be a secret.
"""

import ipaddress
import json
import os
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from dispatcher.core import dsn, dsn_parameters

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_KEY = re.compile(r"[0-9A-Fa-f]{64}|[A-Za-z0-9+/]{43}=")
_PROXY = re.compile(r"http://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?", re.ASCII)
_BRACKETED = re.compile(r"\[([^]]+)\]:(\d+)", re.ASCII)


def seconds(text: str) -> float:
    """Return the seconds in a duration such as `250ms`, `1.5h` or `3d`.

    Raise ValueError for any other text.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("must be a duration such as 250ms, 10s, 5m, 12h or 30d")
    return float(match[1]) * UNITS[match[2]]


def one_line(text: str) -> str:
    """Return the text without spaces around it.

    Raise ValueError if it is empty, or has line breaks or characters that are invisible.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise ValueError("must be one line of visible characters")
    return text


def network(text: str) -> tuple[Network, int | None]:
    """Return the addresses and the port of `10.1.0.0/16`, `10.1.2.3:80` or `[fd00::/8]:80`.

    The port is None if the text has none. Raise ValueError for any other text.
    """
    address, port = text, ""
    if bracketed := _BRACKETED.fullmatch(text):
        address, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
        if not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text!r} has no port after the colon")
    try:
        addresses = ipaddress.ip_network(address)
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.1.0.0/16: {error}") from None
    if port and not 1 <= int(port) <= 65_535:
        raise ValueError(f"{text!r} has a port that is not between 1 and 65535")
    return addresses, int(port) if port else None


def header_name(text: str) -> str:
    """Return the name if it is a valid HTTP header name (an RFC 9110 token).

    Raise ValueError otherwise.
    """
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError("must be the name of an HTTP header")
    return text


# ── the types with which the sections annotate their keys ────────────────────────────────────────


def between(shortest: str, longest: str) -> BeforeValidator:
    """Return a validator for a duration between these two; its result is in seconds."""
    low, high = seconds(shortest), seconds(longest)

    def within(value: object) -> float:
        duration = seconds(value if isinstance(value, str) else "")
        if not low <= duration <= high:
            raise ValueError(f"must be between {shortest} and {longest}")
        return duration

    return BeforeValidator(within)


def _listed(value: object) -> tuple[object, ...]:
    """Return a list as a tuple; parse text, from a variable or a credential file, as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError('must be a list (in an environment variable JSON, such as ["a", "b"])')


def _at_least_one(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError("must name at least one, and none twice")
    return values


def _network_text(text: str) -> str:
    network(text)
    return text


def _dsn(value: SecretStr) -> SecretStr:
    """Return the address if it is valid.

    Raise ValueError with every problem in one message, which contains nothing of the address.
    """
    parameters = dsn.parse(value.get_secret_value())
    variables = dsn.from_environment(os.environ)
    merged = {**variables, **parameters}
    problems = dsn_parameters.find_problems(
        merged, dsn.name_sources(variables, parameters), complete="service" not in merged
    )
    if problems:
        raise ValueError("; ".join(problems))
    return value


def _key(value: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(value.get_secret_value()):
        raise ValueError("must be 64 hexadecimal characters, or the base64 of 32 bytes")
    return value


def _proxy(text: str) -> str:
    """Return the address of an HTTP proxy if it is valid.

    Raise ValueError, without the text, which may contain a password.
    """
    if "@" in text:
        raise ValueError("must not contain credentials: put them into egress.proxy_credentials")
    try:
        parts = urlsplit(text)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not _PROXY.fullmatch(text):
        raise ValueError("must be the address of an HTTP proxy, such as http://proxy.example:3128")
    return text


def _proxy_credentials(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if ":" not in text or not text.isprintable():
        raise ValueError("must be user:password")
    return value


BLANK_IS_NONE = BeforeValidator(lambda value: None if value == "" else value)
LIST = BeforeValidator(_listed)
AT_LEAST_ONE = AfterValidator(_at_least_one)

Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_key)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
ProxyCredentials = Annotated[SecretStr, AfterValidator(_proxy_credentials)]
NetworkText = Annotated[str, AfterValidator(_network_text)]
