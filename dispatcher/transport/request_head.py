"""Write the head of a request, byte for byte as it is sent.

The order is: request line, Host, defaults that the caller does not set, the caller's headers in
their order and case, Content-Length. The parts that repeat are prepared once.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Headers that define where a request goes and where it ends: only the sender writes them."""

LAYOUTS_CACHED = 4096
"""Most combinations of header names whose layout is kept."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class RequestHeads:
    """A writer of heads; `defaults` are headers for requests that do not set them."""

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._defaults = defaults
        self._layout = lru_cache(maxsize=LAYOUTS_CACHED)(self._lay_out)

    def build(self, start: str, headers: Mapping[str, str], length: int) -> bytes:
        """Return the head of a request with a body of `length` bytes.

        `start` is the request line and the Host header. Raises ValueError if a header has a
        control character or an invalid name, or if only the sender may write it.
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
        """Return the parts of a head with gaps, and the names that a later name replaces.

        The first part is the gap for `start`; from the third part on, every other one is the gap
        for a value.
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
