"""What the fuzzer is told about us, in its own process: values that lead somewhere.

Hosts it makes up would be dialled, so URLs are the receiver's; years it makes up are mostly out of
range; environments do not exist, and one key goes with many bodies. What is to be refused stays as
it is.
"""

import os
import re
from collections.abc import MutableMapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

import schemathesis
from hypothesis import strategies as st

RECEIVER = os.environ["DISPATCHER_TEST_RECEIVER"]
ENVIRONMENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEY = re.compile(r"[!-~]{1,255}")
ANYTHING = re.compile(r".*", re.DOTALL)
EXAMPLE = re.compile(r"https://example\.com/.*")
EXISTS = "env_default"

_numbers = count()
_turns = count()

_paths = st.text("abcXYZ019-._~", max_size=20)
_moments = st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside

schemathesis.openapi.format("uri", _paths.map(lambda path: f"{RECEIVER}{path}"))
schemathesis.openapi.format("date-time", _moments.map(datetime.isoformat))


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]
) -> None:
    """Make valid what could be valid, three times of four."""
    _settle(case.path_parameters, "app_id", ENVIRONMENT, EXISTS)
    _settle(case.headers, "X-Environment-Id", ENVIRONMENT, EXISTS)
    _settle(case.headers, "Idempotency-Key", KEY, f"key-{next(_numbers)}")
    _settle(case.headers, "If-Match", ANYTHING, "*")
    for body in (case.body, _inner(_inner(case.body, "data"), "attributes")):
        _settle(body if isinstance(body, dict) else None, "url", EXAMPLE, RECEIVER)


def _inner(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _settle(
    values: MutableMapping[str, Any] | None, name: str, pattern: re.Pattern[str], settled: str
) -> None:
    value = (values or {}).get(name)
    turn = next(_turns) % 4
    if values and turn and isinstance(value, str) and pattern.fullmatch(value):
        values[name] = settled
