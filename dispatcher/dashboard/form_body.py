"""The fields of a form that was sent, bounded in size, number and time."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from dispatcher.api import json_body

TYPE: Final = "application/x-www-form-urlencoded"
FIELDS_MOST: Final = 10_000
"""A catalogue's types are each a field when all of them are ticked."""

Fields = MultiDictProxy[str]

_FIELDS: Final = web.RequestKey("form_fields", MultiDictProxy)


async def fields(request: web.Request) -> Fields:
    """Return the fields of the form, the same for all of a request.

    Only the one encoding that our own forms have is read: a parser of multipart bodies would be
    given whatever strangers send. Raises HTTPBadRequest for a body that is no such form,
    HTTPRequestTimeout for one that is too slow, HTTPRequestEntityTooLarge for one too long.
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


def refuse_nul(given: Mapping[str, str]) -> None:
    """Raise HTTPBadRequest if a value has a NUL: people type none, and the database takes none."""
    if any("\0" in value for value in given.values()):
        raise web.HTTPBadRequest


def _parsed(request: web.Request, body: bytes) -> Fields:
    if request.content_type != TYPE or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPBadRequest
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MOST,
        )
    except ValueError:
        raise web.HTTPBadRequest from None
    read = MultiDictProxy(MultiDict(pairs))
    refuse_nul(read)
    return read
