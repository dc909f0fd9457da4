"""Which environment drops an entry when a limited memory is full."""

import pytest

from dispatcher.transport.environment_shares import EnvironmentShares


def test_the_environment_with_the_largest_share_drops_an_entry() -> None:
    shares = EnvironmentShares()
    for environment_id, amount in (("a", 3), ("b", 2), ("a", -2), ("c", 1)):
        shares.add(environment_id, amount)
    assert (shares.total, shares.largest()) == (4, "b")


def test_an_environment_without_entries_takes_no_memory() -> None:
    shares = EnvironmentShares()
    shares.add("a", 3)
    shares.add("a", -3)
    assert (shares.total, len(shares._shares)) == (0, 0)
    with pytest.raises(ValueError, match="empty"):
        shares.largest()
