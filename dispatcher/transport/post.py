"""A request as it is given to the sender."""

from collections.abc import Mapping
from typing import NamedTuple

from dispatcher.core.credentials import TlsIdentity


class Post(NamedTuple):
    """One POST to a receiver.

    `headers` are prepared once for many requests; `names` and `values` are those that vary.
    `timeout` is in seconds, for all of it. Lookups and new connections are shared out between
    environments by `environment_id`. `tls` has the endpoint's own certificates, None if it has
    none.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    environment_id: str = ""
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    tls: TlsIdentity | None = None
