"""Send requests with access tokens of OAuth 2 token servers, and keep the tokens until they expire.

Tokens are fetched as all requests are sent: under the egress rules, without following redirects.
"""

import asyncio
import math
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import orjson

from dispatcher.core.credentials import OAuth2Client, basic
from dispatcher.core.model import Response, SendError
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from dispatcher.transport.token_cache import FetchedToken, TokenCache, TokenKey

TOKENS_LIMIT = 4096
"""Most tokens kept, one for each endpoint and client."""
TOKENS_LIMIT_BYTES = 16 * 2**20
"""Most memory for them: a token may have 16 KiB, and most have 1 KiB."""

FETCH_SECONDS = 10.0
"""Longest fetch of a token. The deadline of an attempt may end its own waiting earlier."""

ANSWER_LIMIT_BYTES = 64 * 1024
"""Most bytes of a token server's answer; a longer one is refused."""

DEFAULT_LIFE_SECONDS = 300.0
"""How long a token is kept if the server does not say when it expires."""
LIFE_LIMIT_SECONDS = 86_400.0
MARGIN_SECONDS = 30.0
"""How long before it expires a token is replaced, or a tenth of its life if that is less."""

FAILURE_SECONDS = 1.0
"""How long other attempts fail after a failed fetch, without asking the token server again."""

UNATTENDED_LIMIT = 32
"""Most fetches that go on after the last attempt has stopped waiting. They help endpoints whose
timeout is shorter than a fetch. Otherwise silent token servers would hold more connections than
there are attempts."""

_TOKEN = re.compile(r"[!-~]{1,16384}")
_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
"""Error codes of RFC 6749. No other text of an answer is repeated: it could contain a secret."""
_NOT_HTTP = "the answer of the token server is not HTTP"


class AccessTokens:
    """The access tokens of all endpoints; an endpoint's client fetches at most one at a time.

    `failure_seconds` is how long a failed fetch counts for all attempts of its endpoint.
    """

    def __init__(self, sender: Sender, *, failure_seconds: float = FAILURE_SECONDS) -> None:
        self._sender = sender
        self._failure_seconds = failure_seconds
        self._kept = TokenCache(TOKENS_LIMIT, TOKENS_LIMIT_BYTES)
        self._fetching: dict[TokenKey, asyncio.Task[FetchedToken]] = {}
        self._waiting: Counter[TokenKey] = Counter()

    def __len__(self) -> int:
        """Return how many results are kept."""
        return len(self._kept)

    def close(self) -> None:
        """End all fetches."""
        for task in self._fetching.values():
            task.cancel()

    async def post(
        self, client: OAuth2Client, endpoint_id: UUID, post: Post
    ) -> Response | SendError:
        """Send a request with an access token, and return the answer or the error.

        If the receiver answers 401, fetch a new token and send once more, within the same timeout.
        Without a token, return an error with the code `authentication`.
        """
        started_at, key = monotonic(), TokenKey(endpoint_id, client)
        answer = await self._post_once(key, post, started_at)
        if isinstance(answer, Response) and answer.status == HTTPStatus.UNAUTHORIZED:
            answer = await self._post_once(key, post, started_at)
        duration = monotonic() - started_at
        return replace(answer, duration=duration)

    async def _post_once(
        self, key: TokenKey, post: Post, started_at: float
    ) -> Response | SendError:
        token = await self._token(key, post, started_at)
        left = _left(post, started_at)
        if isinstance(token, SendError):
            return token
        if left <= 0:
            return _no_token(f"it took the whole {post.timeout:g} s to fetch it")
        answer = await self._sender.post(
            post._replace(
                timeout=left,
                names=("Authorization", *post.names),
                values=(f"Bearer {token}", *post.values),
            )
        )
        if isinstance(answer, Response) and answer.status == HTTPStatus.UNAUTHORIZED:
            self._kept.discard(post.environment_id, key, token)
        return answer

    async def _token(self, key: TokenKey, post: Post, started_at: float) -> str | SendError:
        """Return the kept token, or wait for the fetch of one until the attempt's deadline."""
        kept = self._kept.get(post.environment_id, key, monotonic())
        if kept is not None:
            return kept
        fetching = self._fetching.get(key) or self._start(key, post.environment_id)
        self._waiting[key] += 1
        try:
            async with asyncio.timeout(max(_left(post, started_at), 0)):
                # An attempt that gives up must not end the fetch for the others.
                return (await asyncio.shield(fetching)).result
        except TimeoutError:
            return _no_token(f"the token server did not answer within {post.timeout:g} s")
        finally:
            self._stop_waiting(key)

    def _stop_waiting(self, key: TokenKey) -> None:
        """End the fetch if no attempt waits for it, and there are too many such fetches."""
        self._waiting[key] -= 1
        if self._waiting[key]:
            return
        del self._waiting[key]
        fetching = self._fetching.get(key)
        if fetching and len(self._fetching) - len(self._waiting) > UNATTENDED_LIMIT:
            self._forget(key, fetching)  # so that the next attempt starts another one
            fetching.cancel()

    def _start(self, key: TokenKey, environment_id: str) -> "asyncio.Task[FetchedToken]":
        task = asyncio.create_task(self._fetch(key, environment_id), name="fetch token")
        self._fetching[key] = task
        task.add_done_callback(partial(self._forget, key))
        return task

    def _forget(self, key: TokenKey, task: "asyncio.Task[FetchedToken]") -> None:
        if self._fetching.get(key) is task:
            del self._fetching[key]

    async def _fetch(self, key: TokenKey, environment_id: str) -> FetchedToken:
        started_at = monotonic()
        headers, body = _request(key.client)
        post = Post(key.client.token_url, headers, body, FETCH_SECONDS, environment_id)
        answer = await self._sender.post(post, body_limit=ANSWER_LIMIT_BYTES)
        result, life = _result(answer)
        if isinstance(result, SendError):
            until = monotonic() + self._failure_seconds
        else:
            until = started_at + life - min(MARGIN_SECONDS, life / 10)
        fetched = FetchedToken(result, until)
        self._kept.keep(environment_id, key, fetched)
        return fetched


def _left(post: Post, started_at: float) -> float:
    return started_at + post.timeout - monotonic()


def _request(client: OAuth2Client) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a token request (RFC 6749, 2.3.1 and 4.4.2)."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    fields = {"grant_type": "client_credentials"}
    if client.scope:
        fields["scope"] = client.scope
    if client.audience:
        fields["audience"] = client.audience
    if client.auth_method == "client_secret_post":
        fields |= {"client_id": client.client_id, "client_secret": client.client_secret}
    else:
        pair = quote_plus(client.client_id), quote_plus(client.client_secret)
        headers["Authorization"] = basic(*pair)
    return headers, urlencode(fields).encode()


def _result(answer: Response | SendError) -> tuple[str | SendError, float]:
    """Return the token and its life in seconds, or the error and 0."""
    if isinstance(answer, SendError):
        # The reason of a protocol error quotes the answer.
        is_quoted = answer.code == "protocol"
        return _no_token(_NOT_HTTP if is_quoted else answer.reason), 0.0
    body = _body(answer)
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        code = body.get("error")
        known = f" ({code})" if isinstance(code, str) and code in _CODES else ""
        return _no_token(f"the token server answered {answer.status}{known}"), 0.0
    if answer.truncated:
        return _no_token("the answer of the token server is cut short or over 64 KiB"), 0.0
    token, kind = body.get("access_token"), body.get("token_type", "bearer")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return _no_token("the answer of the token server has no access_token"), 0.0
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return _no_token("the token server issues no bearer tokens"), 0.0
    return token, _life(body.get("expires_in"))


def _body(answer: Response) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _life(expires_in: object) -> float:
    """Return how many seconds a token is valid; some servers write the number as a text."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type] # a TypeError is caught
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFE_SECONDS
    if math.isnan(seconds) or seconds < 0:
        return DEFAULT_LIFE_SECONDS
    return min(seconds, LIFE_LIMIT_SECONDS)


def _no_token(reason: str) -> SendError:
    return SendError("authentication", f"no access token: {reason}", 0.0)
