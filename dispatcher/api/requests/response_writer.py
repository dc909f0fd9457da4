"""The response to a parsed request, in the dialect that it asks for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BytesIO
from urllib.parse import urlencode

import orjson
from aiohttp import hdrs, web

from dispatcher.api.cursors import Cursors, listing
from dispatcher.api.requests.idempotency import StoredResponse
from dispatcher.api.requests.request_parser import ParsedRequest
from dispatcher.api.requests.request_values import path_for
from dispatcher.api.types import HandlerResult

STEP_LIMIT_ITEMS = 10
"""How many resources are written before other tasks may run. A thread would not help: it would
compete for the interpreter lock."""
SHORT_ITEMS = 50
"""How many resources are written without a pause."""
PAUSE_SECONDS = 0.002
"""The pause in a longer list. To send a delivery takes several turns of the event loop. Without a
pause each of these turns would wait for resources to be written."""
LONG_BYTES = 65_536
"""A longer body is sent in pieces of this size, between which other tasks may run."""

REPLAYED = "Idempotent-Replayed"
PROPAGATION = "X-Propagation"
HEADERS = {"Vary": "Accept, Authorization, X-Environment-Id"}


@dataclass(frozen=True, slots=True)
class ResponseWriter:
    """The writer of successful responses."""

    cursors: Cursors

    async def write(self, parsed: ParsedRequest, result: HandlerResult[object]) -> web.Response:
        """Return the response for the result of a handler."""
        response = web.Response(status=result.status, headers=HEADERS)
        if result.status != HTTPStatus.NO_CONTENT:
            if isinstance(result.body, tuple):
                items = await _items(parsed, result, result.body)
                result = replace(result, body=items)
            body = self.body(parsed, result, secrets=True)
            is_long = len(body) > LONG_BYTES and parsed.request.method == hdrs.METH_GET
            response.body = BytesIO(body) if is_long else body
            response.content_type = parsed.dialect.media_type
        response.headers.update(_addressed(parsed, _headers(result)))
        if result.is_replayed:
            response.headers[REPLAYED] = "true"
        return response

    def to_store(self, parsed: ParsedRequest, result: HandlerResult[object]) -> StoredResponse:
        """Return what to answer to a later request with the same key, without secrets."""
        body = self.body(parsed, result, secrets=False)
        return StoredResponse(result.status, body, _headers(result))

    def body(self, parsed: ParsedRequest, result: HandlerResult[object], *, secrets: bool) -> bytes:
        """Return the body for the result of a handler. Leave out secrets unless `secrets`."""
        link = None
        if result.next is not None:
            request, parameters = parsed.request, parsed.parameters
            identity = listing(request.path, parsed.call.environment_id, parameters)
            result = replace(result, is_page=True, next=self.cursors.seal(result.next, identity))
            link = f"{request.path}?{urlencode({**parameters, 'cursor': result.next})}"
        shape = result.shape or parsed.route.shape
        return parsed.dialect.write(result, shape, link=link, secrets=secrets)


def stored_response(parsed: ParsedRequest, stored: StoredResponse) -> web.Response:
    """Return the response for a repeated request."""
    response = web.Response(status=stored.status, body=stored.body, headers=HEADERS)
    response.content_type = parsed.dialect.media_type
    response.headers.update(_addressed(parsed, stored.headers))
    response.headers[REPLAYED] = "true"
    if parsed.route.waits:
        response.headers[PROPAGATION] = "pending"  # nothing was waited for
    return response


def _headers(result: HandlerResult[object]) -> Mapping[str, str]:
    """Return the headers that belong to the resource in a response."""
    headers = {}
    if result.revision is not None:
        headers["ETag"] = f'"{result.revision}"'
    if result.location is not None:
        headers["Location"] = result.location
    return headers


def _addressed(parsed: ParsedRequest, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers with a Location that leads to the environment of this request."""
    path = headers.get("Location")
    if path is None or parsed.route.all_environments:
        return headers
    call = parsed.call
    location = path_for(parsed.request, call.principal, call.environment_id, path)
    return {**headers, "Location": location}


async def _items(
    parsed: ParsedRequest, result: HandlerResult[object], resources: tuple[object, ...]
) -> tuple[orjson.Fragment, ...]:
    """Return the resources of a list as JSON, and let other tasks run after every few."""
    shape = result.shape or parsed.route.shape
    items: list[orjson.Fragment] = []
    for number, resource in enumerate(resources):
        if number and number % STEP_LIMIT_ITEMS == 0:
            await asyncio.sleep(0 if number < SHORT_ITEMS else PAUSE_SECONDS)
        item = parsed.dialect.item(resource, shape, secrets=True)
        items.append(orjson.Fragment(orjson.dumps(item)))
    return tuple(items)
