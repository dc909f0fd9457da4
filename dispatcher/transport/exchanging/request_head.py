"""Write the head of a request, byte for byte as it is sent.

The order is: request line, Host, defaults that the caller does not set, the caller's fixed headers
in their order and case, those that vary, Content-Length. The parts that repeat are prepared once.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Headers that define where a request goes and where it ends: only the sender writes them."""

LAYOUTS_LIMIT = 4096
"""Most layouts that are kept, one for each endpoint in use."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Items = tuple[tuple[str, str], ...]


class _Layout(NamedTuple):
    """A head with gaps for the values that vary and for the length: every second part is a gap.

    `kept` are the indexes of the values that are sent, None if all are.
    """

    parts: list[str]
    kept: tuple[int, ...] | None


def default_headers(user_agent: str) -> dict[str, str]:
    """Return the headers of every request, unless its endpoint has its own."""
    return {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": user_agent,
    }


class RequestHeads:
    """A writer of heads; `defaults` are headers for requests that do not set them."""

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._defaults = defaults
        self._layout = lru_cache(maxsize=LAYOUTS_LIMIT)(self._lay_out)

    def build(
        self,
        start: str,
        headers: Mapping[str, str],
        length: int,
        names: tuple[str, ...] = (),
        values: tuple[str, ...] = (),
    ) -> bytes:
        """Return the head of a request with a body of `length` bytes.

        `start` is the request line and the Host header. `headers` are the same for many requests.
        `names` are those of the headers that vary, with the `values` of this request. Raise
        ValueError if a header has a control character or an invalid name, or if only the sender may
        write it. `values` are searched only for line breaks and NUL.
        """
        layout, kept = self._layout(start, tuple(headers.items()) if headers else (), names)
        if values:
            joined = "".join(values)
            if "\n" in joined or "\r" in joined or "\0" in joined:
                raise ValueError("a header with a control character")
            if kept is not None:
                values = tuple(values[i] for i in kept)
        parts = layout.copy()
        parts[1::2] = (*values, str(length))  # half the cost of `%`, 3 % of a POST
        return "".join(parts).encode()

    def _lay_out(self, start: str, headers: Items, names: tuple[str, ...]) -> _Layout:
        """Return the layout; of names that differ only in case, the last is sent."""
        every = [*(name for name, _ in headers), *names]
        last = {name.lower(): at for at, name in enumerate(every)}
        if not FRAMING.isdisjoint(last):
            raise ValueError("a header that only the sender writes")
        if not all(map(_NAME.fullmatch, every)):
            raise ValueError("a name that no header can have")
        if _FORBIDDEN.search("".join(value for _, value in headers)):
            raise ValueError("a header with a control character")
        sent = set(last.values())
        lines = [f"{n}: {v}" for n, v in self._defaults.items() if n.lower() not in last]
        lines += [f"{n}: {v}" for at, (n, v) in enumerate(headers) if at in sent]
        constant = start + "".join(f"{line}\r\n" for line in lines)
        kept = tuple(i for i in range(len(names)) if len(headers) + i in sent)
        parts = [constant]
        for name in (*(names[i] for i in kept), "Content-Length"):
            parts[-1] += f"{name}: "
            parts += ["", "\r\n"]
        parts[-1] += "\r\n"
        return _Layout(parts, None if len(kept) == len(names) else kept)
