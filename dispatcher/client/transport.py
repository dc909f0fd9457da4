"""The clients: how a request gets there, and its answer back."""

import asyncio
import http.client
import json
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from dispatcher.client.call import Call
from dispatcher.client.methods import AwaitingGroups, BlockingGroups
from dispatcher.client.resources import (
    Answer,
    ConnectionFailed,
    JsonText,
    Unavailable,
)

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is, and who asks there. ValueError for what can be neither, without the token."""

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("the API's address must be like https://dispatcher.example.com")
        if not self.token or not self.token.isascii() or not self.token.isprintable():
            raise ValueError("a token is needed, of printable ASCII characters")

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url.rstrip("/"))

    def headers(self, call: Call[Any], environment: str | None) -> dict[str, str]:
        named = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": None if call.body is None else "application/json",
            "Idempotency-Key": call.key,
            "X-Environment-Id": environment,
        }
        return {name: value for name, value in named.items() if value is not None}


def written(body: Mapping[str, Any] | None) -> bytes | None:
    """Return the body as JSON; a JsonText in it stays as it is written.

    Raises ValueError and TypeError for what is no JSON.
    """
    if body is None:
        return None
    pairs = (f"{json.dumps(name)}: {_value(value)}" for name, value in body.items())
    return f"{{{', '.join(pairs)}}}".encode()


def _value(value: Any) -> str:
    if not isinstance(value, JsonText):
        return json.dumps(value, allow_nan=False)
    try:  # else what follows in the text could be read as other fields of the body
        json.loads(value, parse_int=str, parse_float=str)
    except RecursionError:
        raise ValueError("the data is nested too deeply") from None
    return value


class Client(BlockingGroups):
    """Asks the API at `base_url`; may be used from several threads, each request on a connection of
    its own.

        client = Client("https://dispatcher.example.com", token)
        webhook = client.webhooks.create("https://example.com/in", ["user.*"])

    `environment` is needed only with a token for all of them (env_default otherwise). `timeout` is
    in seconds, for each wait for the other side. A method raises an ApiError for what the API
    refuses, ConnectionFailed when there is no answer, ValueError for what can not be asked. What may
    be asked twice is repeated twice at the most when there is no answer, or a 503.
    """

    def __init__(
        self, base_url: str, token: str, *, environment: str | None = None, timeout: float = 30
    ) -> None:
        self.environment = environment
        self._address = Address(base_url, token)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Client({self._address.url!r})"

    def ask(self, call: Call[T]) -> T:
        repeated = 0
        while True:
            try:
                return call.read(self._send(call).data())
            except (ConnectionFailed, Unavailable) as failure:
                pause = call.pause(repeated, failure)
                if pause is None:
                    raise
            repeated += 1
            time.sleep(pause)

    def _send(self, call: Call[Any]) -> Answer:
        body = written(call.body)
        parts = self._address.parts
        headers = self._address.headers(call, self.environment)
        connection = self._connection(parts)
        try:
            connection.connect()
        except OSError as error:
            raise _no_answer(parts, error, sent=False) from None
        try:
            connection.request(call.method, parts.path + call.target, body, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(parts, error, sent=True) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _no_answer(parts: SplitResult, error: Exception, *, sent: bool) -> ConnectionFailed:
    what = "no answer from" if sent else "no connection to"
    return ConnectionFailed(f"{what} {parts.netloc}: {_reason(error)}", sent=sent)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    number = getattr(error, "errno", None) or 0
    if number > 0:
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class AsyncClient(AwaitingGroups):
    """As `Client`, but its methods are coroutines, on connections that are kept (aiohttp's).

    async with AsyncClient("https://dispatcher.example.com", token) as client:
        webhook = await client.webhooks.create("https://example.com/in", ["user.*"])
    """

    def __init__(
        self, base_url: str, token: str, *, environment: str | None = None, timeout: float = 30
    ) -> None:
        self.environment = environment
        self._address = Address(base_url, token)
        self._timeout = timeout
        self._opened: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"AsyncClient({self._address.url!r})"

    async def __aenter__(self) -> Self:
        import aiohttp

        self._opened = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def ask(self, call: Call[T]) -> T:
        repeated = 0
        while True:
            try:
                answer = await self._send(call)
                return call.read(answer.data())
            except (ConnectionFailed, Unavailable) as failure:
                pause = call.pause(repeated, failure)
                if pause is None:
                    raise
            repeated += 1
            await asyncio.sleep(pause)

    async def _send(self, call: Call[Any]) -> Answer:
        import aiohttp
        from yarl import URL

        if self._opened is None:
            raise RuntimeError("an AsyncClient is used in `async with`")
        url = URL(self._address.parts.geturl() + call.target, encoded=True)
        try:
            async with self._opened.request(
                call.method,
                url,
                data=written(call.body),
                headers=self._address.headers(call, self.environment),
                allow_redirects=False,
            ) as response:
                named = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, named, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise _no_answer(self._address.parts, error.os_error, sent=False) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _no_answer(self._address.parts, error, sent=True) from None
