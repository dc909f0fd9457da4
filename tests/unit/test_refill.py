"""Whose parked rows are read first."""

from uuid import UUID

from dispatcher.refill import in_turns


def test_each_environment_has_its_turn_before_any_has_another() -> None:
    owners = dict(zip(map(UUID, map("{:032x}".format, range(6))), "aaabbc", strict=True))
    order = in_turns(owners, owners.__getitem__)
    assert "".join(owners[i] for i in order) == "abcaba"
    assert sorted(order) == sorted(owners)


def test_nobody_has_a_turn_where_nobody_waits() -> None:
    assert in_turns([], lambda _: "a") == []
