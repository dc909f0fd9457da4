"""Tokens: who may ask for what. A token's text is shown once; its SHA-256 is all that is kept."""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_urlsafe
from time import monotonic
from typing import Any, Final, TypeVar, get_args
from uuid import UUID

from dispatcher.config.sections import Config, Limits
from dispatcher.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Unknown,
)
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.tokens import EVERY, NewToken, Scope
from dispatcher.store import tokens as stored
from dispatcher.store.pool import Pool
from dispatcher.store.session import Asked

PREFIX: Final = "dsp_"
"""So that people, and programs that look for leaked secrets, know one when they see it."""
RANDOM_BYTES: Final = 32
BOOTSTRAP: Final = "bootstrap"
"""The token id of `secrets.admin_token`."""

REMEMBERED: Final = 10_000
"""Tokens known to be good, and known to be wrong: 32 bytes and a little each."""
WRONG_SECONDS: Final = 10.0

_SCOPES: Final = get_args(Scope)
# 43 characters hold 258 bits: the last two are always 0.
_TEXT: Final = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


@dataclass(frozen=True, slots=True)
class Token:
    """`environment_id` is `*` for every environment; `token` is known only to who created it."""

    id: UUID
    name: str
    environment_id: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose token was shown. `environment_id` None: good for every environment."""

    token_id: str
    name: str
    scope: Scope
    environment_id: str | None

    def may(self, scope: Scope) -> bool:
        """Whether the token's scope holds this one."""
        return _SCOPES.index(scope) <= _SCOPES.index(self.scope)


BOOTSTRAP_PRINCIPAL: Final = Principal(BOOTSTRAP, "secrets.admin_token", "admin", None)


class Tokens:
    """Raises StoreUnavailable and StatementTimeout besides what is said.

    For `environment_id` give the environment that whoever asks is bound to; None if it is none.
    """

    def __init__(self, session: Asked, actor: Actor, *, most: int = Limits().tokens) -> None:
        """`most` is how many good ones an environment may have."""
        self._stored = stored.Tokens(session)
        self._journal = Journal(session, actor)
        self._most = most

    async def create(self, form: NewToken, *, environment_id: str | None) -> Token:
        """In a transaction of the caller's. Raises Invalid, Conflict where there are too many, and
        Forbidden where somebody bound to
        one environment wants a token for every one."""
        bound_to = None if form.environment_id == EVERY else form.environment_id
        if environment_id is not None and bound_to is None:
            raise Forbidden("a token of one environment can not make one for every environment")
        if environment_id is not None and bound_to != environment_id:
            raise _unknown_environment(form)
        text = PREFIX + token_urlsafe(RANDOM_BYTES)
        row = await self._stored.create(
            name=form.name,
            environment_id=bound_to,
            scope=form.scope,
            sha256=_sha256(text),
            expires_at=form.expires_at,
            most=self._most,
        )
        if not row["known"]:
            raise _unknown_environment(form)
        if not row["lasting"]:
            raise Invalid.field("expires_at", "must be in the future")
        if not row["room"]:
            raise Conflict(
                f"there are {self._most} tokens, the most (limits.tokens): revoke some first"
            )
        made = _token(row, text)
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
        after: UUID | None = None,
        limit: int = Limits().page,
    ) -> tuple[Token, ...]:
        """Return those older than `after`, newest first, with those that are revoked or expired."""
        rows = await self._stored.list(environment_id, after, limit)
        return tuple(_token(row) for row in rows)

    async def revoke(self, token_id: UUID, *, environment_id: str | None) -> None:
        """In a transaction of the caller's; refused everywhere as soon as that is committed.

        Raises Unknown, also for what is revoked already.
        """
        row = await self._stored.revoke(token_id, environment_id)
        if row is None:
            raise Unknown(f"there is no token {token_id} to revoke")
        await self._journal.note(
            "token.revoke", str(token_id), row["environment_id"], name=row["name"]
        )


class Gate:
    """Says who shows a token. Every good one is looked up every time, so that a revoked one is
    refused at once.

    What is remembered, as SHA-256: which tokens were good lately, so that those who show them do
    not wait behind those who guess; and which were wrong in the last seconds, so that the same
    wrong one again costs no statement. A new token is random: it was never wrong before.
    """

    def __init__(self, pool: Pool, bootstrap: bytes | None) -> None:
        """`bootstrap` is what the function of that name returns."""
        self._pool = pool
        self._bootstrap = bootstrap
        self._good: OrderedDict[bytes, str] = OrderedDict()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()

    def remembers(self, text: str) -> bool:
        """Whether it was good when it was last shown."""
        return text.isascii() and _sha256(text) in self._good

    @staticmethod
    def is_well_formed(text: str) -> bool:
        """Whether it is written as those that are made here, which nobody can guess."""
        return _TEXT.fullmatch(text) is not None

    async def authenticate(self, text: str, address: str = "") -> Principal | None:
        """Return None for what is no token, was revoked or has expired: all look the same.

        `address` is where it was shown: those who show unknown tokens take turns by it. Raises
        StoreUnavailable and StatementTimeout.
        """
        if not text.isascii():
            return None
        shown = _sha256(text)
        if self._bootstrap is not None and hmac.compare_digest(shown, self._bootstrap):
            self._remember(shown, EVERY)
            return BOOTSTRAP_PRINCIPAL
        if not self.is_well_formed(text) or self._wrong.get(shown, 0.0) > monotonic():
            return None
        lane = self._good.get(shown, f"unknown from {address}")
        row = await stored.Tokens(self._pool.of(lane)).authenticate(shown)
        if row is None:
            self._good.pop(shown, None)
            _keep(self._wrong, shown, monotonic() + WRONG_SECONDS)
            return None
        self._remember(shown, row["environment_id"] or EVERY)
        return Principal(str(row["id"]), row["name"], row["scope"], row["environment_id"])

    def _remember(self, shown: bytes, lane: str) -> None:
        _keep(self._good, shown, lane)


T = TypeVar("T")


def _keep(known: "OrderedDict[bytes, T]", key: bytes, value: T) -> None:
    """Set it, and forget the oldest if there are too many."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > REMEMBERED:
        known.popitem(last=False)


def bootstrap(config: Config) -> bytes | None:
    """The SHA-256 of the configured admin token, which is in no table; None where there is none."""
    token = config.secrets.admin_token
    return None if token is None else _sha256(token.get_secret_value())


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def _unknown_environment(form: NewToken) -> Invalid:
    """Also for one that exists, but not for who asks."""
    return Invalid.field("environment_id", f"there is no environment {form.environment_id!r}")


def _token(row: Mapping[str, Any], text: str | None = None) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        environment_id=row["environment_id"] or EVERY,
        scope=row["scope"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        token=text,
    )
