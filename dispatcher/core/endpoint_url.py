"""The one strict parser of endpoint URLs: it checks their form, not where they lead.

A URL is stored and called exactly as the user typed it. An ambiguous URL is rejected, not
normalised: a receiver that signs or compares its own URL must see it unchanged.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes

from yarl import URL

URL_LIMIT_BYTES = 2048
"""Most bytes of a URL: many servers and proxies reject longer ones."""
DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_USERINFO = re.compile(
    r"(https://)([^:@/?#\\]*):([^@/?#\\]*)@(?=[^@/?#]+(?:[/?]|$))", re.IGNORECASE
)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class UrlError(ValueError):
    """The text is not a URL to deliver to. The message is a sentence for the user who typed it."""


@dataclass(frozen=True, slots=True)
class EndpointUrl:
    """A parsed URL.

    `text` is what the user typed. `host` is the host to connect to (lower case, IDNA, an IPv6
    address without brackets), and `shown_host` is the form to display. `target` goes into the
    request line.
    """

    text: str
    scheme: str
    host: str
    port: int
    target: str
    shown_host: str

    @property
    def is_https(self) -> bool:
        """Return True if the request goes over TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Return the Host header: the host, and the port unless it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(text: str, *, https_only: bool = False) -> EndpointUrl:
    """Return the parsed URL. Raise UrlError if it cannot be delivered to."""
    _check_text(text)
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise UrlError("the URL must start with https:// or http://")
    if https_only and scheme != "https":
        raise UrlError("the URL must start with https://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    typed, port = _split(authority)
    try:
        host, shown = _host(typed)
    except ValueError:
        raise UrlError(
            "the host must be a domain name, an IPv4 address of four decimal numbers, "
            "or an IPv6 address in brackets"
        ) from None
    url = EndpointUrl(
        text, scheme, host, port or DEFAULT_PORTS[scheme], _target(rest[len(authority) :]), shown
    )
    if len(url.authority) + len(url.target) > URL_LIMIT_BYTES:
        raise UrlError(f"the URL must be at most {URL_LIMIT_BYTES} bytes long")
    return url


def split_userinfo(text: str) -> tuple[str, tuple[str, str] | None]:
    """Return an https URL without its user name and password, and these two.

    If there are none, return the URL unchanged, and None. Do the same if they are malformed or in
    an http URL, which would send them in clear: then `parse_url` rejects the URL.
    """
    match = _USERINFO.match(text)
    if match is None:
        return text, None
    try:
        username, password = (unquote_to_bytes(part).decode() for part in match.group(2, 3))
    except UnicodeDecodeError:
        return text, None
    if ":" in username or not f"{username}{password}".isprintable():
        return text, None
    return match[1] + text[match.end() :], (username, password)


def ends_in_number(host: str) -> bool:
    """Return True if some resolver would take this host for an IPv4 address (WHATWG URL)."""
    return _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None


def _check_text(text: str) -> None:
    if not text.isprintable() or " " in text:
        raise UrlError("the URL must not contain spaces, control or invisible characters")
    if len(text.encode()) > URL_LIMIT_BYTES:
        raise UrlError(f"the URL must be at most {URL_LIMIT_BYTES} bytes long")
    if "\\" in text:
        raise UrlError("the URL must not contain a backslash")
    if "#" in text:
        raise UrlError("the URL must not contain a fragment (#)")


def _split(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise UrlError("the URL must not contain a user name or password")
    if "%" in authority:
        raise UrlError("the host must not contain a percent sign")
    shape = _AUTHORITY.fullmatch(authority)
    if shape is None:
        raise UrlError("the URL must have a host and at most one port after it")
    if int(shape[2] or 0) > 65535:
        raise UrlError("the port must be at most 65535")
    return shape[1], int(shape[2]) if shape[2] else None


def _host(typed: str) -> tuple[str, str]:
    """Return the host to connect to and the host to display.

    Raise ValueError unless the host is in its only normal form.
    """
    url = URL(f"http://{typed}/")
    host, shown = url.raw_host or "", url.host or ""
    if typed.startswith("["):
        return str(IPv6Address(host)), shown
    if ends_in_number(host):
        IPv4Address(host)
    elif len(host) > 253 or not all(map(_LABEL.fullmatch, host.removesuffix(".").split("."))):
        raise ValueError("not a domain name")
    # Reject what IDNA would change beyond case. Otherwise full-width digits become 127.0.0.1.
    if unicodedata.normalize("NFC", typed.lower()) not in (host, shown):
        raise ValueError("not in normal form")
    if URL.build(scheme="http", host=shown).raw_host != host:
        raise ValueError("does not round-trip")
    return host, shown


def _target(rest: str) -> str:
    """Return the path and query byte for byte; other than ASCII becomes percent-encoded UTF-8."""
    target = rest if rest.startswith("/") else f"/{rest}"
    return target if target.isascii() else quote(target, safe=_ASCII)
