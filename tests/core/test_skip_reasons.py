"""What a bulk action left as it was, in words."""

from typing import get_args

import pytest

from dispatcher.core.retry_refusal import RetryRefusal
from dispatcher.core.skip_reasons import left, skip_reason


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("deleted", 1150, "1,150 left as they are: the webhook was deleted"),
        ("disabled", 1, "1 left as it is: the webhook is disabled"),
        ("changed", 2, "2 left as they are: the status had changed"),
        ("of_tomorrow", 2, "2 left as they are: of_tomorrow"),
    ],
)
def test_what_was_left_is_said_with_its_reason(name: str, number: int, text: str) -> None:
    assert left(name, number) == text


def test_every_reason_has_words() -> None:
    assert not [name for name in (*get_args(RetryRefusal), "changed") if skip_reason(name) == name]
