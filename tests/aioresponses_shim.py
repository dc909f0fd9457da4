"""aioresponses 0.7.9 with aiohttp 3.14, whose responses want one argument that it does not pass.

Import `aioresponses` from here. A test in `unit/test_status_outcomes.py` fails as soon as the
package has caught up, and this file can go.
"""

import inspect
from typing import Any
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses, core

__all__ = ["aioresponses"]


class _Response(aiohttp.ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
    core.ClientResponse = _Response  # type: ignore[attr-defined]
