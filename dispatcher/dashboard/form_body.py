"""The fields of a submitted form, with limits on size, number and time."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from dispatcher.api.requests import json_body

TYPE: Final = "application/x-www-form-urlencoded"
FIELDS_LIMIT: Final = 10_000
"""A form has one field for each ticked event type, so a large catalogue needs many fields."""

Fields = MultiDictProxy[str]

_FIELDS: Final = web.RequestKey("form_fields", MultiDictProxy)


async def fields(request: web.Request) -> Fields:
    """Return the fields of the form. Further calls for the same request return the same fields.

    Only the encoding that the dashboard's own forms use is accepted. Otherwise a multipart parser
    would read bodies from strangers. Raise HTTPBadRequest if the body is not such a form,
    HTTPRequestTimeout if it is too slow, and HTTPRequestEntityTooLarge if it is too long.
    """
    known: Fields | None = request.get(_FIELDS)
    if known is not None:
        return known
    if "Content-Encoding" in request.headers:
        raise web.HTTPBadRequest
    try:
        async with asyncio.timeout(json_body.SECONDS):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    read = _parsed(request, body) if body else MultiDictProxy(MultiDict[str]())
    request[_FIELDS] = read
    return read


def refuse_nul(values: Mapping[str, str]) -> None:
    """Raise HTTPBadRequest if a value contains a NUL character, which PostgreSQL cannot store."""
    if any("\0" in value for value in values.values()):
        raise web.HTTPBadRequest


def _parsed(request: web.Request, body: bytes) -> Fields:
    """Return the fields in a body. Raise HTTPBadRequest if it is not a form in UTF-8."""
    if request.content_type != TYPE or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPBadRequest
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_LIMIT,
        )
    except ValueError:
        raise web.HTTPBadRequest from None
    read = MultiDictProxy(MultiDict(pairs))
    refuse_nul(read)
    return read
