"""Remember hosts whose names were looked up in time, for each environment.

Known hosts have their own class of lookup threads. When there are too many hosts, the environment
with most loses its oldest, first those that were only looked up, then those that a delivery has
reached.
"""

from collections import OrderedDict

from dispatcher.transport.environment_shares import EnvironmentShares

HOSTS_LIMIT = 32_768
"""Most hosts of all environments: about 10 MB of memory."""


class _Hosts:
    """The known hosts of one environment, oldest first."""

    def __init__(self) -> None:
        self.looked_up: OrderedDict[str, None] = OrderedDict()
        self.reached: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.looked_up) + len(self.reached)


class KnownHosts:
    """The known hosts by environment. Pure."""

    def __init__(self, limit: int = HOSTS_LIMIT) -> None:
        self._limit = limit
        self._environments: dict[str, _Hosts] = {}
        self._shares = EnvironmentShares()

    def __len__(self) -> int:
        return self._shares.total

    def knows(self, host: str, environment_id: str) -> bool:
        """Return True if the host is known in this environment."""
        known = self._environments.get(environment_id)
        return known is not None and (host in known.looked_up or host in known.reached)

    def add(self, host: str, environment_id: str, *, is_reached: bool = False) -> None:
        """Note that the host was looked up, or, if `is_reached`, that a delivery reached it."""
        known = self._environments.setdefault(environment_id, _Hosts())
        before = len(known)
        if is_reached or host in known.reached:
            known.looked_up.pop(host, None)
            known.reached[host] = None
            known.reached.move_to_end(host)
        else:
            known.looked_up[host] = None
            known.looked_up.move_to_end(host)
        self._shares.add(environment_id, len(known) - before)
        if len(self) > self._limit:
            self._drop_one()

    def discard(self, host: str) -> None:
        """Remove the host from all environments, as its lookup timed out."""
        for environment_id, known in list(self._environments.items()):
            if host in known.looked_up or host in known.reached:
                known.looked_up.pop(host, None)
                known.reached.pop(host, None)
                self._shares.add(environment_id, -1)
                if not len(known):
                    del self._environments[environment_id]

    def _drop_one(self) -> None:
        largest = self._shares.largest()
        known = self._environments[largest]
        (known.looked_up or known.reached).popitem(last=False)
        self._shares.add(largest, -1)
