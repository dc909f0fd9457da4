"""Requests that are no HTTP never come to a handler."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Api


async def said_to(address: str, request: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    at = urlsplit(address)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_an_unreadable_header_is_a_400_and_its_token_is_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.token()
    head = f"GET /api/webhooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x00\r\n\r\n"
    answered = await said_to(api.address, head.encode())
    assert answered.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert token not in caplog.text
