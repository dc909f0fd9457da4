"""Authentication by bearer token, and throttling of addresses that send wrong tokens."""

import asyncio
from collections import OrderedDict, deque
from time import monotonic

from aiohttp import web

from dispatcher.api.types import Detail, HttpError
from dispatcher.services.access.token_authentication import Principal, TokenAuthenticator

WRONG_LIMIT = 10
WRONG_WITHIN_SECONDS = 60.0
"""An address that sends this many wrong tokens within this many seconds is throttled."""
LOOKUPS_A_SECOND = 10
"""How many unknown tokens a second are still looked up for a throttled address. Otherwise one
client that guesses would lock out the others behind the same proxy. This covers only tokens in the
format that Dispatcher generates, which cannot be guessed, and not a secrets.admin_token that a
person has chosen."""
LATE_SECONDS = 1.0
LATE_LIMIT = 64
"""A throttled address gets its 429 after this many seconds, which slows down programs that keep
trying. At most LATE_LIMIT requests wait at a time, because each holds a connection open; the others
get it at once."""
ADDRESSES_LIMIT = 10_000
"""How many addresses are remembered, so that many addresses cannot fill the memory."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="dispatcher"'}


class Throttle:
    """The times of recent wrong tokens, by address.

    It remembers at most ADDRESSES_LIMIT addresses.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._looked_up: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until this address may try again, 0 if it may try now.

        `now` is a monotonic time in seconds, here and in the other methods.
        """
        times = self._wrong.get(address)
        while times and times[0] <= now - WRONG_WITHIN_SECONDS:
            times.popleft()
        if not times or len(times) < WRONG_LIMIT:
            return 0.0
        return times[0] + WRONG_WITHIN_SECONDS - now

    def note(self, address: str, now: float) -> None:
        """Count a wrong token from this address."""
        _times(self._wrong, address, WRONG_LIMIT).append(now)

    def may_look_up(self, address: str, now: float) -> bool:
        """Return True, and count it, if a throttled address may have one more token looked up.

        Return False if it has used up its LOOKUPS_A_SECOND.
        """
        times = _times(self._looked_up, address, LOOKUPS_A_SECOND)
        if len(times) == LOOKUPS_A_SECOND and times[0] > now - 1:
            return False
        times.append(now)
        return True


def _times(known: OrderedDict[str, deque[float]], address: str, limit: int) -> deque[float]:
    """Return the recorded times of an address, and mark it as the most recently used.

    Forget the least recently used addresses beyond ADDRESSES_LIMIT.
    """
    times = known.setdefault(address, deque(maxlen=limit))
    known.move_to_end(address)
    while len(known) > ADDRESSES_LIMIT:
        known.popitem(last=False)
    return times


class Auth:
    """The authentication of requests by their bearer token."""

    def __init__(self, gate: TokenAuthenticator) -> None:
        self._gate = gate
        self._throttle = Throttle()
        self._late = 0

    def forget(self) -> None:
        """Look up every token again, because a token may have been revoked."""
        self._gate.forget()

    async def principal(self, request: web.Request) -> Principal:
        """Return the principal of a request.

        Raise an HttpError: 401 without a valid token, 429 if the address has sent too many wrong
        ones.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise HttpError(
                401, "unauthorized", "A token is needed: Authorization: Bearer …", headers=CHALLENGE
            )
        return await self.authenticate(token.strip(), request.remote or "")

    async def authenticate(self, token: str, address: str) -> Principal:
        """Return the principal of a token. `address` is the peer to throttle after wrong tokens.

        A token that was valid before is accepted even from a throttled address. Otherwise others
        behind the same proxy could lock its owner out. Raise an HttpError (401, 429) as in
        `principal`.
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
        raise HttpError(
            401,
            "unauthorized",
            "The token is not valid, was revoked or has expired",
            headers={"WWW-Authenticate": 'Bearer realm="dispatcher", error="invalid_token"'},
        )

    def _may_try(self, token: str, address: str) -> bool:
        """Return True if a token is checked although its address is throttled."""
        if self._gate.remembers(token):
            return True
        return self._gate.is_well_formed(token) and self._throttle.may_look_up(address, monotonic())

    async def _too_many(self, wait_seconds: float) -> HttpError:
        """Return the failure (429) for a throttled address, after a delay of LATE_SECONDS."""
        if self._late < LATE_LIMIT:
            self._late += 1
            try:
                await asyncio.sleep(LATE_SECONDS)
            finally:
                self._late -= 1
        seconds = int(wait_seconds) + 1
        return HttpError(
            429,
            "too_many_wrong_tokens",
            "Too many wrong tokens from this address",
            Detail(
                f"Too many wrong tokens from this address. Try again in {seconds} s. Other"
                " addresses, and tokens that were valid before, are not affected."
            ),
            headers={"Retry-After": str(seconds)},
        )
