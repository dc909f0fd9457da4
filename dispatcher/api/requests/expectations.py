"""The header Expect, by which a client asks whether it may send the body."""

from aiohttp import HttpVersion11, hdrs, web

from dispatcher.api.types import Detail, HttpError

_CONTINUE = "100-continue"


async def invite_body(request: web.Request) -> None:
    """Tell the client to send the body, if it asks for that. aiohttp calls this for each Expect."""
    if request.version == HttpVersion11 and _expected(request) == _CONTINUE:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # otherwise aiohttp takes it for a part of the response


def check(request: web.Request) -> None:
    """Raise an HttpError (417) if the client expects anything else. HTTP/1.0 has no such header."""
    if request.version == HttpVersion11 and _expected(request) not in ("", _CONTINUE):
        raise HttpError(
            417,
            "expectation_failed",
            "The header Expect asks for what this server does not know",
            Detail(f"must be {_CONTINUE}", header="Expect"),
        )


def _expected(request: web.Request) -> str:
    return request.headers.get(hdrs.EXPECT, "").lower()
