"""The clients: they send a call's request and read its response."""

import asyncio
import http.client
import json
import os
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from dispatcher.client.call import Call
from dispatcher.client.methods import AsyncApi, SyncApi
from dispatcher.client.resources import (
    ArgumentError,
    ConnectionFailedError,
    JsonText,
    Response,
    UnavailableError,
)

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

_NO_LINE = re.compile("[\0\r\n\ud800-\udfff]")
"""Characters that end a header, or that cannot be encoded."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the API, and the token.

    Raise ValueError, without the token, if one of them is invalid.
    """

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("the API's address must be like https://dispatcher.example.com")
        if not self.token or not self.token.isascii() or not self.token.isprintable():
            raise ValueError("a token is needed, of printable ASCII characters")
        try:  # otherwise the first request fails
            _ = parts.hostname.encode("idna"), parts.port
        except ValueError:
            raise ValueError(
                f"the API's address has no valid host or port: {parts.netloc!a}"
            ) from None

    @property
    def parts(self) -> SplitResult:
        """Return the parts of the URL, without a slash at the end."""
        return urlsplit(self.url.rstrip("/"))

    def headers(self, call: Call[Any], environment: str | None) -> dict[str, str]:
        """Return the headers of a call's request.

        Raise ArgumentError for one that is not a line.
        """
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": None if call.body is None else "application/json",
            "Idempotency-Key": call.key,
            "X-Environment-Id": environment,
        }
        sent_headers = {name: value for name, value in headers.items() if value is not None}
        for name, value in sent_headers.items():
            if _NO_LINE.search(value):
                raise ArgumentError(f"{name}: {value!a} has a character that cannot be sent")
        return sent_headers


def encoded(body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> bytes | None:
    """Return the body as JSON, None if there is none; a JsonText in it stays as it is.

    Raise ArgumentError and TypeError for values that are not JSON.
    """
    if body is None:
        return None
    if isinstance(body, Mapping):
        return _object(body).encode()
    return f"[{', '.join(map(_object, body))}]".encode()


def _object(fields: Mapping[str, Any]) -> str:
    pairs = (f"{json.dumps(name)}: {_value(value)}" for name, value in fields.items())
    return f"{{{', '.join(pairs)}}}"


def _value(value: Any) -> str:
    try:
        if not isinstance(value, JsonText):
            return json.dumps(value, allow_nan=False)
        # otherwise text behind the value could become other fields of the body
        json.loads(value, parse_int=str, parse_float=str)
    except RecursionError:
        raise ArgumentError("the data is nested too deeply") from None
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    return value


class Client(SyncApi):
    """A client of the API at `base_url`, which several threads may share.

        client = Client("https://dispatcher.example.com", token)
        webhook = client.webhooks.create("https://example.com/in", ["user.*"])

    Each request has its own connection. `environment` is needed only with a token for all
    environments (default: env_default). `timeout` is in seconds, for each wait for the server.

    A method raises ApiError if the API rejects the request, ConnectionFailedError if there is no
    response, and ValueError for an invalid argument. A request that may be repeated is repeated at
    most twice, if there is no response or a 502, 503 or 504.
    """

    def __init__(
        self, base_url: str, token: str, *, environment: str | None = None, timeout: float = 30
    ) -> None:
        self.environment = environment
        self._address = Address(base_url, token)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Client({self._address.url!r})"

    def send(self, call: Call[T]) -> T:
        """Return the result of a call, after at most two repetitions."""
        repeated = 0
        while True:
            try:
                return call.read(self._request(call).data())
            except (ConnectionFailedError, UnavailableError) as failure:
                pause = call.pause(repeated, failure)
                if pause is None:
                    raise
            repeated += 1
            time.sleep(pause)

    def _request(self, call: Call[Any]) -> Response:
        body = encoded(call.body)
        parts = self._address.parts
        headers = self._address.headers(call, self.environment)
        connection = self._connection(parts)
        try:
            connection.connect()
        except OSError as error:
            raise _connection_failed(parts, error, sent=False) from None
        try:
            connection.request(call.method, parts.path + call.target, body, headers)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, received, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise _connection_failed(parts, error, sent=True) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _connection_failed(
    parts: SplitResult, error: Exception, *, sent: bool
) -> ConnectionFailedError:
    failure = "no answer from" if sent else "no connection to"
    return ConnectionFailedError(f"{failure} {parts.netloc}: {_reason(error)}", sent=sent)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLError):  # its errno is a number of OpenSSL's, not the system's
        certificate = getattr(error, "verify_message", "")
        if certificate:
            return f"its certificate is not accepted: {certificate}"
        return f"TLS failed ({error.reason or error}); is the address http:// instead?"
    number = getattr(error, "errno", None) or 0
    if number > 0:
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class AsyncClient(AsyncApi):
    """A client like `Client`, but its methods are coroutines. It keeps connections (aiohttp).

        async with AsyncClient("https://dispatcher.example.com", token) as client:
            webhook = await client.webhooks.create("https://example.com/in", ["user.*"])

    `timeout` is in seconds, for a whole request.
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
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()

    async def send(self, call: Call[T]) -> T:
        """Return the result of a call, after at most two repetitions."""
        repeated = 0
        while True:
            try:
                response = await self._request(call)
                return call.read(response.data())
            except (ConnectionFailedError, UnavailableError) as failure:
                pause = call.pause(repeated, failure)
                if pause is None:
                    raise
            repeated += 1
            await asyncio.sleep(pause)

    async def _request(self, call: Call[Any]) -> Response:
        import aiohttp
        from yarl import URL

        if self._opened is None:
            raise RuntimeError("the AsyncClient is not open: use it in `async with`")
        url = URL(self._address.parts.geturl() + call.target, encoded=True)
        try:
            async with self._opened.request(
                call.method,
                url,
                data=encoded(call.body),
                headers=self._address.headers(call, self.environment),
                allow_redirects=False,
            ) as response:
                received = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status, received, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise _connection_failed(self._address.parts, error.os_error, sent=False) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _connection_failed(self._address.parts, error, sent=True) from None
