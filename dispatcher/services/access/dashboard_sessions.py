"""Open dashboard sessions with a token, which decides what the session may see and do.

The browser holds a cookie, never the token. When the token is revoked or expires, all sessions that
were opened with it end.
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_urlsafe
from time import monotonic

from dispatcher.services.access.token_authentication import ROOT_PRINCIPAL, Principal
from dispatcher.store.pool import Pool
from dispatcher.store.queries import dashboard_sessions as stored

SESSION_SECONDS = 12 * 3600.0
"""Seconds that a session lasts. After that one must sign in again."""
SESSIONS_LIMIT = 100
"""Open sessions of one token. One more ends the oldest, so that no token can fill the table."""
COOKIE_BYTES = 32
SIGNED_IN = "signed in"
"""Fairness key of requests whose cookie was valid before."""
REMEMBERED_LIMIT = 10_000
LOGIN_LINK_SECONDS = 600.0
LOGIN_LINKS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class DashboardSession:
    """An open dashboard session.

    Forms carry `csrf`, so that no other site can send one in the browser's name. `environment_id`
    is the environment that was shown last. It decides only where `/` leads.
    """

    principal: Principal
    environment_id: str
    csrf: str
    expires_at: datetime


class DashboardSessions:
    """The dashboard sessions. The methods raise StoreError and StatementTimeoutError.

    `root_token_hash` is the result of token_authentication.root_token_hash.
    """

    def __init__(self, pool: Pool, root_token_hash: bytes | None) -> None:
        self._pool = pool
        self._stored = stored.DashboardSessions(pool.of(SIGNED_IN))
        self._root_token_hash = root_token_hash
        self._good: OrderedDict[bytes, DashboardSession] = OrderedDict()

    async def open(self, token: str, principal: Principal, environment_id: str) -> str:
        """Open a session with a valid token. Return the cookie.

        If the token has SESSIONS_LIMIT sessions, the oldest ends.
        """
        cookie = token_urlsafe(COOKIE_BYTES)
        environment_id = principal.environment_id or environment_id
        await self._stored.create(
            _sha256(cookie), _sha256(token), environment_id, SESSION_SECONDS, SESSIONS_LIMIT
        )
        return cookie

    async def find(self, cookie: str, address: str = "") -> DashboardSession | None:
        """Return the session of a cookie, or None if the cookie is unknown or expired.

        Return None also if the session's token is no longer valid. `address` is the client's
        address. Clients with unknown cookies share connections by it, so that one of them cannot
        hold up the others.
        """
        if not cookie.isascii():
            return None
        row = await self._row(cookie, address)
        session = self._session(cookie, row) if row else None
        if session is None:
            self._good.pop(_sha256(cookie), None)
        else:
            self._good[_sha256(cookie)] = session
        while len(self._good) > REMEMBERED_LIMIT:
            self._good.popitem(last=False)
        return session

    def recall(self, cookie: str) -> DashboardSession | None:
        """Return the session of a cookie as `find` returned it last, without the database.

        It may have ended since. It serves only to show an error with the navigation around it.
        """
        return self._good.get(_sha256(cookie)) if cookie.isascii() else None

    def _session(self, cookie: str, row: stored.DashboardSessionRow) -> DashboardSession | None:
        """Return the session of a row, or None if it is that of an earlier root token."""
        if row["token_id"] is not None:
            principal = Principal(str(row["token_id"]), row["name"], row["scope"], row["bound_to"])
        elif self._root_token_hash and hmac.compare_digest(
            row["token_hash"], self._root_token_hash
        ):
            principal = ROOT_PRINCIPAL
        else:
            return None
        return DashboardSession(principal, row["environment_id"], csrf(cookie), row["expires_at"])

    async def _row(self, cookie: str, address: str) -> stored.DashboardSessionRow | None:
        id_ = _sha256(cookie)
        lane = SIGNED_IN if id_ in self._good else f"unknown from {address}"
        return await stored.DashboardSessions(self._pool.of(lane)).get(id_)

    async def look_at(self, cookie: str, environment_id: str) -> None:
        """Record the environment that the session shows now."""
        id_ = _sha256(cookie)
        await self._stored.set_environment(id_, environment_id)
        if session := self._good.get(id_):
            self._good[id_] = replace(session, environment_id=environment_id)

    async def close(self, cookie: str) -> None:
        """End the session of a cookie."""
        await self._stored.delete(_sha256(cookie))
        self._good.pop(_sha256(cookie), None)


class LoginLinks:
    """One-time login links for tokens of this process, such as those that a demo prints."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def make(self, token: str) -> str:
        """Return a code that stands for the token once, within ten minutes."""
        code = token_urlsafe(24)
        self._open[code] = (token, monotonic() + LOGIN_LINK_SECONDS)
        while len(self._open) > LOGIN_LINKS_LIMIT:
            self._open.popitem(last=False)
        return code

    def take(self, code: str) -> str | None:
        """Return the token of a code, once. Return None if the code is unknown or expired."""
        token, until = self._open.pop(code, (None, 0.0))
        return token if monotonic() < until else None


def csrf(cookie: str) -> str:
    """Return the CSRF token of a cookie. It is the same for each form of the session."""
    return hmac.new(cookie.encode(), b"dispatcher/csrf", hashlib.sha256).hexdigest()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
