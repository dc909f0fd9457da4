"""The limits on connections to the admin port."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits on connections to the admin port.

    `most` is the number of connections at a time, and `of_one_address` the number from one address.
    The latter does not apply to loopback, where reverse proxies run. A connection is closed if its
    first request takes more than `head_seconds`, if it is silent for `silent_seconds`, or if it
    does not read a response within `write_seconds`.
    """

    most: int = 512
    of_one_address: int = 64
    head_seconds: float = 5.0
    silent_seconds: float = 20.0
    write_seconds: float = 60.0
