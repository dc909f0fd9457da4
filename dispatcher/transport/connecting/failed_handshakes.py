"""Remember failed TLS handshakes, so that bad certificates cannot hold the event loop.

To find that a certificate is not valid takes 1.6 ms, as much as fifty requests on kept connections.
The receiver spends no time on it. Without a limit, the deliveries of one environment to such
receivers would delay those of all others. So after some failures in a row, one request a second
tries again, and the others fail for the same reason. A single failure changes nothing: of many
servers behind one name, one may have a bad certificate. Pure: times are arguments, in monotonic
seconds.
"""

from collections import OrderedDict
from typing import NamedTuple

from dispatcher.transport.environment_shares import EnvironmentShares
from dispatcher.transport.failures import PostError
from dispatcher.transport.target import Origin

IN_A_ROW = 3
"""How many handshakes with a receiver fail in a row before the next one must wait."""

RETRY_SECONDS = 1.0
"""Time between two handshakes with a receiver whose last ones failed."""

SPACING_SECONDS = 0.02
"""If an environment has many such receivers, the wait is this time for each of them. Its failing
handshakes then take at most a twelfth of the event loop."""

FORGET_SECONDS = 60.0
"""How long a failure is remembered after the end of its wait."""

FAILURES_LIMIT = 10_000
"""Most failures that are remembered, about 5 MiB."""

_REPEATED = "; this attempt made no connection, as one before it found this"


class _Failure(NamedTuple):
    """The last failure: its reason, how many there were, and until when to wait."""

    reason: str
    in_a_row: int
    until: float


class FailedHandshakes:
    """The origins whose last TLS handshakes failed, by environment.

    Beyond FAILURES_LIMIT, the environment with most of them loses its oldest.
    """

    def __init__(self) -> None:
        self._failures: dict[str, OrderedDict[Origin, _Failure]] = {}
        self._shares = EnvironmentShares()

    def __len__(self) -> int:
        """Return how many failures are remembered."""
        return self._shares.total

    def admit(self, environment_id: str, origin: Origin, now: float) -> None:
        """Permit one handshake, or raise the PostError of the last one.

        After IN_A_ROW failures, one handshake is permitted each time the wait is over; all others
        fail at once, until one has succeeded.
        """
        failure = self._last(environment_id, origin)
        if failure is None or failure.in_a_row < IN_A_ROW:
            return
        if now < failure.until:
            raise PostError("tls", failure.reason + _REPEATED)
        self.note(environment_id, origin, failure.reason, now)

    def note(self, environment_id: str, origin: Origin, reason: str, now: float) -> None:
        """Remember that a handshake failed for this reason."""
        last = self._last(environment_id, origin)
        self.forget(environment_id, origin)
        failures = self._failures.setdefault(environment_id, OrderedDict())
        while failures and next(iter(failures.values())).until + FORGET_SECONDS < now:
            failures.popitem(last=False)
            self._shares.add(environment_id, -1)
        seconds = max(RETRY_SECONDS, SPACING_SECONDS * len(failures))
        failures[origin] = _Failure(reason, 1 if last is None else last.in_a_row + 1, now + seconds)
        self._shares.add(environment_id, 1)
        if self._shares.total > FAILURES_LIMIT:
            largest = self._shares.largest()
            self.forget(largest, next(iter(self._failures[largest])))

    def _last(self, environment_id: str, origin: Origin) -> _Failure | None:
        failures = self._failures.get(environment_id)
        return None if failures is None else failures.get(origin)

    def forget(self, environment_id: str, origin: Origin) -> None:
        """Forget a failure, as a handshake has succeeded."""
        failures = self._failures.get(environment_id)
        if failures is None or failures.pop(origin, None) is None:
            return
        self._shares.add(environment_id, -1)
        if not failures:
            del self._failures[environment_id]
