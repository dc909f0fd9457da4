"""The head of a request, octet for octet as it goes out.

Order: request line, Host, the defaults that the caller does not bring, the caller's headers in
their order and case, Content-Length. What is the same for every request is prepared once.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Headers that say where a request goes and where it ends: only we write them."""

LAYOUTS_CACHED = 4096

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class RequestHeads:
    """Writes heads. `defaults` are headers of every request that does not bring its own."""

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._defaults = defaults
        self._layout = lru_cache(maxsize=LAYOUTS_CACHED)(self._lay_out)

    def build(self, start: str, headers: Mapping[str, str], length: int) -> bytes:
        """Return the head of a request with so many bytes of body.

        `start` is its request line and Host. Raises ValueError if a header has a control
        character, or is one that only we write.
        """
        template, replaced = self._layout(tuple(headers))
        if replaced:
            headers = {name: v for name, v in headers.items() if name not in replaced}
        values = headers.values()
        text = "".join(values)
        if not text.isprintable() and _FORBIDDEN.search(text):
            raise ValueError("a header with a control character")
        return (start + template % (*values, length)).encode()

    def _lay_out(self, names: tuple[str, ...]) -> tuple[str, frozenset[str]]:
        """Return the template of everything behind Host, and names that a later one replaces."""
        last = {name.lower(): name for name in names}
        if not FRAMING.isdisjoint(last):
            raise ValueError("a header that only the sender writes")
        if not all(map(_NAME.fullmatch, names)):
            raise ValueError("a name that no header can have")
        lines = [
            f"{name}: {value}\r\n".replace("%", "%%")
            for name, value in self._defaults.items()
            if name.lower() not in last
        ]
        sent = [name for name in names if last[name.lower()] == name]
        lines += [f"{name.replace('%', '%%')}: %s\r\n" for name in sent]
        return "".join(lines) + "Content-Length: %d\r\n\r\n", frozenset(names) - frozenset(sent)
