"""Share out a limited memory between environments. Pure."""

from collections import Counter


class EnvironmentShares:
    """How much of a limited memory the entries of each environment take.

    When all of them together take too much, the environment with the largest share drops an entry.
    Otherwise an environment with many entries could displace those of all others.
    """

    def __init__(self) -> None:
        self._shares: Counter[str] = Counter()
        self.total = 0

    def add(self, environment_id: str, amount: int) -> None:
        """Add to the share of an environment; a negative `amount` takes from it."""
        self.total += amount
        self._shares[environment_id] += amount
        if not self._shares[environment_id]:
            del self._shares[environment_id]

    def largest(self) -> str:
        """Return the environment that is to drop an entry. Raise ValueError if there is none."""
        return max(self._shares, key=lambda environment_id: self._shares[environment_id])
