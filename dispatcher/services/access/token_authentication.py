"""Find the owner of the token that a request carries, and remember it for a moment."""

import asyncio
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, TypeVar, get_args

from dispatcher.config.sections import Config
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.model import Scope
from dispatcher.services.access import token_text
from dispatcher.store.pool import Pool
from dispatcher.store.queries import tokens as stored

ROOT_ACTOR: Final = "bootstrap"
"""The token id of `secrets.admin_token`, the root token, in the audit log."""

REMEMBERED_LIMIT: Final = 10_000
"""Most tokens that are remembered as valid, and most that are remembered as wrong."""
WRONG_SECONDS: Final = 10.0
BUSY_LOOKUPS: Final = 4
"""If a token is looked up this often within a second, its owner is remembered. A token that is used
less often is looked up each time, so that it is refused at once when it is revoked."""
OWNER_REMEMBERED_SECONDS: Final = 0.9
"""How long the owner of a busy token is remembered, from the start of its look-up. A revoked token
must be refused within a second, by every daemon."""

_SCOPES: Final = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of a request's token. `environment_id` is None for all environments."""

    token_id: str
    name: str
    scope: Scope
    environment_id: str | None

    def may(self, scope: Scope) -> bool:
        """Return True if the token's scope includes this one."""
        return _SCOPES.index(scope) <= _SCOPES.index(self.scope)


ROOT_PRINCIPAL: Final = Principal(ROOT_ACTOR, "secrets.admin_token", "admin", None)


@dataclass(slots=True)
class _KnownToken:
    """A token that was valid when it was last looked up. Times are monotonic, in seconds.

    Its look-ups take connections under `fairness_key`. `lookups` counts them since `counted_from`.
    `principal` is its owner until `valid_until`, None if the token is not busy.
    """

    fairness_key: str
    counted_from: float
    lookups: int = 0
    principal: Principal | None = None
    valid_until: float = 0.0

    def count(self, now: float) -> bool:
        """Count a look-up. Return True if the token is busy, or was until a second ago."""
        if now - self.counted_from > 1.0:
            self.counted_from, self.lookups = now, 0
        self.lookups += 1
        was_busy = self.principal is not None and now - self.valid_until < 1.0
        return self.lookups >= BUSY_LOOKUPS or was_busy


class TokenAuthenticator:
    """The authenticator of tokens.

    It looks up a valid token each time, so that a revoked one is refused at once. Only the owner of
    a busy token is remembered, for less than a second.

    It remembers, as SHA-256, which tokens were valid lately. Their requests do not wait behind
    those that guess tokens. It also remembers which tokens were wrong in the last seconds, so that
    the same wrong token costs no further statement. A new token is random, so it cannot be among
    them.
    """

    def __init__(self, pool: Pool, root_token_hash: bytes | None) -> None:
        """Use `pool`. `root_token_hash` is None if there is no root token."""
        self._pool = pool
        self._root_token_hash = root_token_hash
        self._good: OrderedDict[bytes, _KnownToken] = OrderedDict()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()
        self._lookups: dict[bytes, tuple[float, asyncio.Future[Principal | None]]] = {}
        self._forgotten = 0

    def remembers(self, text: str) -> bool:
        """Return True if the token was valid when it was last used."""
        return text.isascii() and token_text.sha256(text) in self._good

    def forget(self) -> None:
        """Look up every token again, because a token may have been revoked."""
        self._forgotten += 1
        self._lookups.clear()
        for known in self._good.values():
            known.principal = None

    @staticmethod
    def is_well_formed(text: str) -> bool:
        """Return True if the text has the form of a generated token, which cannot be guessed."""
        return token_text.is_well_formed(text)

    async def authenticate(self, text: str, address: str = "") -> Principal | None:
        """Return the owner of a token, or None if the token is unknown, revoked or expired.

        `address` is the client's address. Clients with unknown tokens share connections by it, so
        that one of them cannot hold up the others. Raise StoreError or StatementTimeoutError.
        """
        if not text.isascii():
            return None
        shown = token_text.sha256(text)
        if self._root_token_hash is not None and hmac.compare_digest(shown, self._root_token_hash):
            self._remember(shown, ALL_ENVIRONMENTS, monotonic())
            return ROOT_PRINCIPAL
        now = monotonic()
        known = self._good.get(shown)
        if known is not None and known.principal is not None and now < known.valid_until:
            return known.principal
        if not self.is_well_formed(text) or self._wrong.get(shown, 0.0) > now:
            return None
        return await self._looked_up_once(shown, f"unknown from {address}", now)

    async def _looked_up_once(
        self, shown: bytes, fairness_key: str, now: float
    ) -> Principal | None:
        """Return the owner, by the look-up of another request if one began a moment ago."""
        began, lookup = self._lookups.get(shown, (0.0, None))
        if lookup is None or now - began > OWNER_REMEMBERED_SECONDS:
            lookup = asyncio.ensure_future(self._look_up(shown, fairness_key, now))
            self._lookups[shown] = (now, lookup)
            lookup.add_done_callback(partial(self._end_lookup, shown))
        return await asyncio.shield(lookup)

    def _end_lookup(self, shown: bytes, lookup: "asyncio.Future[Principal | None]") -> None:
        if self._lookups.get(shown, (0.0, None))[1] is lookup:
            del self._lookups[shown]
        if not lookup.cancelled():
            lookup.exception()  # otherwise it is logged if every request that waited is gone

    async def _look_up(self, shown: bytes, fairness_key: str, began: float) -> Principal | None:
        known, forgotten = self._good.get(shown), self._forgotten
        pool = self._pool.of(fairness_key if known is None else known.fairness_key)
        row = await stored.Tokens(pool).authenticate(shown)
        if row is None:
            self._good.pop(shown, None)
            _keep(self._wrong, shown, monotonic() + WRONG_SECONDS)
            return None
        known = self._remember(shown, row["environment_id"] or ALL_ENVIRONMENTS, began)
        principal = Principal(str(row["id"]), row["name"], row["scope"], row["environment_id"])
        is_busy = known.count(began) and forgotten == self._forgotten
        known.principal = principal if is_busy else None
        known.valid_until = began + min(
            OWNER_REMEMBERED_SECONDS, row["seconds_left"] or OWNER_REMEMBERED_SECONDS
        )
        return principal

    def _remember(self, shown: bytes, fairness_key: str, now: float) -> _KnownToken:
        known = self._good.get(shown) or _KnownToken(fairness_key, now)
        known.fairness_key = fairness_key
        _keep(self._good, shown, known)
        return known


T = TypeVar("T")


def _keep(known: "OrderedDict[bytes, T]", key: bytes, value: T) -> None:
    """Set a value, and forget the oldest ones if there are too many."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > REMEMBERED_LIMIT:
        known.popitem(last=False)


def root_token_hash(config: Config) -> bytes | None:
    """Return the SHA-256 of the root token, `secrets.admin_token`, or None if it is not set.

    This token is in no table.
    """
    token = config.secrets.admin_token
    return None if token is None else token_text.sha256(token.get_secret_value())
