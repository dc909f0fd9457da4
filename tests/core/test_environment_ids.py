"""The form of an environment's id, and the marks that are no ids."""

import pytest

from dispatcher.core.environment_ids import (
    ALL_ENVIRONMENTS,
    DEFAULT_ENVIRONMENT,
    is_environment_id,
)


@pytest.mark.parametrize("text", [DEFAULT_ENVIRONMENT, "a", "A-1_b", "x" * 64])
def test_letters_digits_underscore_and_hyphen_make_an_id(text: str) -> None:
    assert is_environment_id(text)


@pytest.mark.parametrize("text", ["", ALL_ENVIRONMENTS, "a b", "a\n", "é", "a/b", "x" * 65])
def test_other_characters_do_not_make_an_id(text: str) -> None:
    assert not is_environment_id(text)
