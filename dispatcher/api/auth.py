"""Who asks, for which environment; and how often one may be wrong."""

from collections import OrderedDict, deque
from time import monotonic

from aiohttp import web

from dispatcher.api.answers import Failure
from dispatcher.tokens import Gate, Principal

WRONG_MOST = 10
WRONG_WITHIN = 60.0
"""So many wrong tokens from one address in so many seconds, and it has to wait."""
ADDRESSES = 10_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="dispatcher"'}


class Throttle:
    """Wrong tokens lately, by address. Only as many addresses are remembered as fit."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        times = self._wrong.get(address)
        while times and times[0] <= now - WRONG_WITHIN:
            times.popleft()
        if not times or len(times) < WRONG_MOST:
            return 0.0
        return times[0] + WRONG_WITHIN - now

    def note(self, address: str, now: float) -> None:
        self._wrong.setdefault(address, deque(maxlen=WRONG_MOST)).append(now)
        self._wrong.move_to_end(address)
        while len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)


class Auth:
    """Knows a request's principal by its bearer token."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._throttle = Throttle()

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

        A good token is let in all the same: nobody else behind the same proxy can shut its owner out,
        and who guesses learns nothing but that a guess was right.
        """
        principal = await self._gate.authenticate(token)
        if principal is not None:
            return principal
        wait = self._throttle.wait(address, monotonic())
        if wait > 0:
            raise Failure(
                429,
                "too_many_wrong_tokens",
                "Too many wrong tokens from this address",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        self._throttle.note(address, monotonic())
        raise Failure(
            401,
            "unauthorized",
            "The token is not valid, was revoked or has expired",
            headers={"WWW-Authenticate": 'Bearer realm="dispatcher", error="invalid_token"'},
        )
