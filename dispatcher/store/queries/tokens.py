"""Read and write tokens. A token is stored as the SHA-256 of its text."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from dispatcher.core.model import Scope
from dispatcher.core.pagination import CreationPosition
from dispatcher.store.rows import all_rows, first_row, only_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class TokenRow(TypedDict):
    """A token. Without an environment, it is for all environments."""

    id: UUID
    name: str
    environment_id: str | None
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewTokenRow(TokenRow):
    """A new token, and whether each condition was met. If one was not, all of the token is None."""

    environment_exists: bool
    expires_later: bool
    has_room: bool


class RevokedTokenRow(TypedDict):
    """A token that was just revoked."""

    name: str
    environment_id: str | None


class AuthenticatedTokenRow(TypedDict):
    """A valid token that a request presents."""

    id: UUID
    name: str
    scope: Scope
    environment_id: str | None
    seconds_left: float | None


class Tokens:
    """The tokens."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def create(
        self,
        *,
        name: str,
        environment_id: str | None,
        scope: str,
        sha256: bytes,
        expires_at: datetime | None,
        limit: int,
    ) -> NewTokenRow:
        """Create a token, unless a condition fails. Return the conditions and the new row.

        `expires_later` is True if the expiry is in the future, `has_room` if there are fewer than
        `limit` valid tokens of the environment. If one is False, no token is created, and the
        fields of the token are None.
        """
        rows = await self._session.fetch(
            statement("tokens/create"), name, environment_id, scope, sha256, expires_at, limit
        )
        return only_row(NewTokenRow, rows)

    async def list(
        self,
        environment_id: str | None,
        after: CreationPosition | None = None,
        limit: int = 1000,
    ) -> Sequence[TokenRow]:
        """Return at most `limit` tokens beyond the position `after`, newest first.

        Revoked and expired ones are included. Without an environment, return those of all
        environments.
        """
        created_at, id_ = (None, None) if after is None else (after.created_at, after.id)
        rows = await self._session.fetch(
            statement("tokens/list"), environment_id, created_at, id_, limit
        )
        return all_rows(TokenRow, rows)

    async def revoke(self, token_id: UUID, environment_id: str | None) -> RevokedTokenRow | None:
        """Revoke a token. Return its `name environment_id`, or None if this call did not revoke it.

        With `environment_id` None, the token may be bound to any environment.
        """
        rows = await self._session.fetch(statement("tokens/revoke"), token_id, environment_id)
        return first_row(RevokedTokenRow, rows)

    async def authenticate(self, sha256: bytes) -> AuthenticatedTokenRow | None:
        """Return a valid token, or None; note its use, at most once a minute.

        `seconds_left` is the time until it expires, None if it does not.
        """
        rows = await self._session.fetch(statement("tokens/authenticate"), sha256)
        return first_row(AuthenticatedTokenRow, rows)

    async def prune(self, keep: float, limit: int) -> int:
        """Delete up to `limit` tokens that have been unusable for `keep` seconds.

        Return how many were deleted.
        """
        return len(await self._session.fetch(statement("tokens/prune"), keep, limit))
