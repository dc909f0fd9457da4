"""Keep the TLS contexts of endpoints with their own certificates, shared out between environments.

Pure.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

from dispatcher.core.credentials import TlsIdentity
from dispatcher.transport.environment_shares import EnvironmentShares

CONTEXT_BYTES = 16 * 1024
"""Memory for a context without certificates."""
BYTES_PER_CHARACTER = 10
"""Memory for each character of PEM, as measured."""

T = TypeVar("T")


class ContextCache(Generic[T]):
    """At most `limit` contexts, of at most `limit_bytes` together.

    Beyond one of these limits, the environment whose contexts take the most memory loses the one
    that has been unused for the longest time. A context belongs to the environment that it was
    built for, and others with the same identity use it too.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._owners: dict[TlsIdentity, str] = {}
        self._kept: dict[str, OrderedDict[TlsIdentity, T]] = {}
        self._bytes = EnvironmentShares()

    def get(self, identity: TlsIdentity) -> T | None:
        """Return the context of an identity, None if it is not kept."""
        owner = self._owners.get(identity)
        if owner is None:
            return None
        self._kept[owner].move_to_end(identity)
        return self._kept[owner][identity]

    def keep(self, environment_id: str, identity: TlsIdentity, context: T) -> None:
        """Keep a context that was built for an environment, in place of an earlier one."""
        self._remove(identity)
        self._owners[identity] = environment_id
        self._kept.setdefault(environment_id, OrderedDict())[identity] = context
        self._bytes.add(environment_id, _size(identity))
        while len(self._owners) > self._limit or self._bytes.total > self._limit_bytes:
            self._remove(next(iter(self._kept[self._bytes.largest()])))

    def _remove(self, identity: TlsIdentity) -> None:
        owner = self._owners.pop(identity, None)
        if owner is None:
            return
        del self._kept[owner][identity]
        self._bytes.add(owner, -_size(identity))
        if not self._kept[owner]:
            del self._kept[owner]


def _size(identity: TlsIdentity) -> int:
    """Return the memory that the context of an identity takes, in bytes."""
    return CONTEXT_BYTES + BYTES_PER_CHARACTER * sum(
        len(pem) for pem in (identity.certificate, identity.ca) if pem is not None
    )
