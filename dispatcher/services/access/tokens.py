"""Create, list and revoke tokens. A token's text is shown once."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from dispatcher.config.sections import Limits
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from dispatcher.core.model import Scope
from dispatcher.core.pagination import CreationPosition
from dispatcher.services.access import token_text
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.inputs.token_inputs import NewToken
from dispatcher.store.queries import tokens as stored
from dispatcher.store.session import Queryable

TOO_WIDE: Final = (
    "A token of one environment cannot create one for all environments."
    " Use a token that is not bound to an environment."
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token for the API.

    `environment_id` is `*` for all environments. `token` is set only in the response that created
    it.
    """

    id: UUID
    name: str
    environment_id: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    token: str | None = field(default=None, repr=False)

    def position(self) -> CreationPosition:
        """Return the place of the token in a listing."""
        return CreationPosition(self.created_at, self.id)

    @classmethod
    def from_row(cls, row: stored.TokenRow, text: str | None = None) -> "Token":
        """Return the token of its row. `text` is set only for a new token."""
        return cls(
            id=row["id"],
            name=row["name"],
            environment_id=row["environment_id"] or ALL_ENVIRONMENTS,
            scope=row["scope"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            last_used_at=row["last_used_at"],
            revoked_at=row["revoked_at"],
            token=text,
        )


class Tokens:
    """The tokens. Each method also raises StoreError and StatementTimeoutError.

    `environment_id` is the environment that the caller's own token is bound to, or None for all.
    """

    def __init__(self, session: Queryable, actor: Actor, *, limit: int = Limits().tokens) -> None:
        """Allow an environment at most `limit` valid tokens."""
        self._stored = stored.Tokens(session)
        self._journal = Journal(session, actor)
        self._limit = limit

    async def create(self, form: NewToken, *, environment_id: str | None) -> Token:
        """Create a token. Call this in a transaction.

        Raise InvalidError, ConflictError if there are too many tokens, and ForbiddenError if the
        caller is bound to one environment and requests a token for all of them.
        """
        bound_to = None if form.environment_id == ALL_ENVIRONMENTS else form.environment_id
        if environment_id is not None and bound_to is None:
            raise ForbiddenError(TOO_WIDE)
        if environment_id is not None and bound_to != environment_id:
            raise _unknown_environment(form)
        text = token_text.new()
        row = await self._stored.create(
            name=form.name,
            environment_id=bound_to,
            scope=form.scope,
            sha256=token_text.sha256(text),
            expires_at=form.expires_at,
            limit=self._limit,
        )
        if not row["environment_exists"]:
            raise _unknown_environment(form)
        if not row["expires_later"]:
            raise InvalidError.field("expires_at", "must be in the future")
        if not row["has_room"]:
            raise ConflictError(
                f"There are {self._limit} tokens, the most that limits.tokens allows."
                " Revoke some first."
            )
        made = Token.from_row(row, text)
        await self._journal.note(
            "token.create",
            str(made.id),
            bound_to,
            name=made.name,
            scope=made.scope,
            expires_at=made.expires_at,
        )
        return made

    async def list(
        self,
        environment_id: str | None,
        *,
        after: CreationPosition | None = None,
        limit: int = Limits().page,
    ) -> tuple[Token, ...]:
        """Return tokens older than `after`, newest first, including revoked and expired ones."""
        rows = await self._stored.list(environment_id, after, limit)
        return tuple(Token.from_row(row) for row in rows)

    async def revoke(self, token_id: UUID, *, environment_id: str | None) -> None:
        """Revoke a token. Call this in a transaction.

        The token is refused as soon as it commits, a busy one within a second.

        Raise NotFoundError if there is no such token or it is revoked already.
        """
        row = await self._stored.revoke(token_id, environment_id)
        if row is None:
            raise NotFoundError(
                f"There is no token {token_id} to revoke. It may be revoked already."
            )
        await self._journal.note(
            "token.revoke", str(token_id), row["environment_id"], name=row["name"]
        )


def _unknown_environment(form: NewToken) -> InvalidError:
    """Return the error. It is the same if the environment exists but the caller may not see it."""
    return InvalidError.field("environment_id", f"there is no environment {form.environment_id!r}")
