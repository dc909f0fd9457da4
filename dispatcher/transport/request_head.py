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
        layout, replaced = self._layout(tuple(headers))
        if replaced:
            headers = {name: v for name, v in headers.items() if name not in replaced}
        values = headers.values()
        text = "".join(values)
        if not text.isprintable() and _FORBIDDEN.search(text):
            raise ValueError("a header with a control character")
        parts = layout.copy()
        parts[0] = start
        parts[2::2] = [*values, f"{length}\r\n\r\n"]
        return "".join(parts).encode()

    def _lay_out(self, names: tuple[str, ...]) -> tuple[list[str], frozenset[str]]:
        """Return the parts of a head, with gaps, and the names that a later one replaces.

        The first gap is for the start; from the third part on every other one is a value's.
        """
        last = {name.lower(): name for name in names}
        if not FRAMING.isdisjoint(last):
            raise ValueError("a header that only the sender writes")
        if not all(map(_NAME.fullmatch, names)):
            raise ValueError("a name that no header can have")
        defaults = [
            f"{name}: {value}\r\n"
            for name, value in self._defaults.items()
            if name.lower() not in last
        ]
        sent = [name for name in names if last[name.lower()] == name]
        parts = ["", "".join(defaults)]
        for name in sent:
            parts[-1] += f"{name}: "
            parts += ["", "\r\n"]
        parts[-1] += "Content-Length: "
        return [*parts, ""], frozenset(names) - frozenset(sent)
