"""The headers of a response come back as they were, and take little room."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.recorded_headers import NAMES, read, write

NAME = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))


@given(st.lists(st.tuples(NAME, st.text(max_size=8))))
def test_headers_come_back_as_they_were(headers: list[tuple[str, str]]) -> None:
    assert read(write(headers)) == tuple(headers)


def test_common_names_take_a_digit_or_two() -> None:
    headers = (("Content-Length", "2"), ("content-type", "text/plain"), ("X-Own", "1"))
    assert write(headers) == '[0,"2",6,"text/plain","X-Own","1"]'
    assert write(()) == "[]"


def test_each_common_name_is_listed_once() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_the_place_of_a_common_name_never_changes() -> None:
    """Stored texts have the places: append names, and the new number and sum here."""
    known = 83
    assert sha256(",".join(NAMES[:known]).encode()).hexdigest()[:16] == "9eb0a5f40b668012"
    assert len(NAMES) == known
