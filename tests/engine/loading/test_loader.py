"""The decisions of the loader: which rows were read, and which endpoints come first."""

from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.loading.loader import unread_from
from dispatcher.engine.loading.refill import completely_read, in_turns
from dispatcher.store.queries.deliveries import Range


def test_each_environment_has_its_turn_before_any_has_a_second() -> None:
    owners = dict(zip(map(UUID, map("{:032x}".format, range(6))), "aaabbc", strict=True))
    order = in_turns(owners, owners.__getitem__)
    assert "".join(owners[i] for i in order) == "abcaba"
    assert sorted(order) == sorted(owners)


def test_without_endpoints_there_are_no_turns() -> None:
    assert in_turns([], lambda _: "a") == []


@pytest.mark.parametrize(
    ("letters", "at_most", "whole"),
    [
        ("", 3, "abc"),
        ("aa", 3, "abc"),
        ("bb", 3, "abc"),
        ("aab", 3, "a"),  # there may be more of b
        ("aac", 3, "ab"),
        ("aaa", 3, ""),
    ],
)
def test_an_endpoint_behind_the_limit_may_have_more_rows(
    letters: str, at_most: int, whole: str
) -> None:
    a, b, c = ids = [UUID(int=n) for n in range(3)]
    named = dict(zip("abc", ids, strict=True))
    rows = [Delivery(n, n, named[letter], 0, 0, 0, 0.0) for n, letter in enumerate(letters)]
    assert list(completely_read({a: 5, b: 5, c: 5}, rows, at_most)) == [
        named[letter] for letter in whole
    ]


def test_a_shard_whose_range_is_full_may_have_more_rows() -> None:
    ranges = [Range(shard, 0.0, 2) for shard in range(3)]
    due = [(0, 1.0), (1, 2.0), (0, 3.0)]
    deliveries = [Delivery(n, n, UUID(int=1), shard, 0, 0, at) for n, (shard, at) in enumerate(due)]
    assert unread_from(ranges, deliveries) == {0: 3.0}
    assert unread_from(ranges, []) == {}
