"""Who asks, for which environment; and how often one may be wrong."""

import asyncio
from collections import OrderedDict, deque
from time import monotonic

from aiohttp import web

from dispatcher.api.types import Failure
from dispatcher.services.tokens import Gate, Principal

WRONG_MOST = 10
WRONG_WITHIN = 60.0
"""So many wrong tokens from one address in so many seconds, and it has to wait."""
LOOKUPS_A_SECOND = 10
"""Unknown tokens that are looked up for an address that has to wait: its owner may be behind the
same proxy as those who guess. Only tokens made here, which nobody guesses, and not those that
people make up for secrets.admin_token."""
LATE_SECONDS = 1.0
LATE_MOST = 64
"""An address that has to wait is told so late, which slows down programs that do not stop. Only for
so many requests at one time: each is a connection."""
ADDRESSES = 10_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="dispatcher"'}


class Throttle:
    """Wrong tokens lately, by address. Only as many addresses are remembered as fit."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._looked_up: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        times = self._wrong.get(address)
        while times and times[0] <= now - WRONG_WITHIN:
            times.popleft()
        if not times or len(times) < WRONG_MOST:
            return 0.0
        return times[0] + WRONG_WITHIN - now

    def note(self, address: str, now: float) -> None:
        """Count a wrong token."""
        _times(self._wrong, address, WRONG_MOST).append(now)

    def may_look_up(self, address: str, now: float) -> bool:
        """Whether one more unknown token of an address that has to wait is looked up; counts it."""
        times = _times(self._looked_up, address, LOOKUPS_A_SECOND)
        if len(times) == LOOKUPS_A_SECOND and times[0] > now - 1:
            return False
        times.append(now)
        return True


def _times(known: OrderedDict[str, deque[float]], address: str, most: int) -> deque[float]:
    """Return the last times of an address, which becomes the newest one remembered."""
    times = known.setdefault(address, deque(maxlen=most))
    known.move_to_end(address)
    while len(known) > ADDRESSES:
        known.popitem(last=False)
    return times


class Auth:
    """Knows a request's principal by its bearer token."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._throttle = Throttle()
        self._late = 0

    async def principal(self, request: web.Request) -> Principal:
        """401 without a good token, 429 after too many wrong ones."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Failure(
                401, "unauthorized", "A token is needed: Authorization: Bearer …", headers=CHALLENGE
            )
        return await self.known(token.strip(), request.remote or "")

    async def known(self, token: str, address: str) -> Principal:
        """Whose token it is; where it was shown decides how often one may be wrong.

        A token that was good before is let in all the same: others behind the same proxy cannot
        shut its owner out.
        """
        wait = self._throttle.wait(address, monotonic())
        if wait > 0 and not self._may_try(token, address):
            raise await self._too_many(wait)
        principal = await self._gate.authenticate(token, address)
        if principal is not None:
            return principal
        if wait > 0:
            raise await self._too_many(wait)
        self._throttle.note(address, monotonic())
        raise Failure(
            401,
            "unauthorized",
            "The token is not valid, was revoked or has expired",
            headers={"WWW-Authenticate": 'Bearer realm="dispatcher", error="invalid_token"'},
        )

    def _may_try(self, token: str, address: str) -> bool:
        """Whether a token is compared although its address has to wait."""
        if self._gate.remembers(token):
            return True
        return self._gate.is_well_formed(token) and self._throttle.may_look_up(address, monotonic())

    async def _too_many(self, wait_seconds: float) -> Failure:
        if self._late < LATE_MOST:
            self._late += 1
            try:
                await asyncio.sleep(LATE_SECONDS)
            finally:
                self._late -= 1
        return Failure(
            429,
            "too_many_wrong_tokens",
            "Too many wrong tokens from this address",
            headers={"Retry-After": str(int(wait_seconds) + 1)},
        )
