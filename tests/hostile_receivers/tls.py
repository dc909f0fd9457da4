"""Receivers that are hostile while TLS is set up, or by means of TLS afterwards."""

import asyncio
import ctypes
import ctypes.util
import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import ELSEWHERE, LOCAL, Authority, at_most
from tests.hostile_receivers.behaviour import (
    FINE,
    OK,
    SEGMENT_SECONDS,
    Behaviour,
    Talk,
    request,
    reset,
    says,
    stay,
)

_SSL_OFFSET = 24
"""Where CPython keeps the SSL pointer in its object: after the head and one other pointer."""
_AT_ONCE = 200

_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
_WARNING = b"\x15\x03\x03\x00\x02\x01\x5a"
_HALF_A_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(20)
_FOREIGN = {
    "closes": (b"", "tls"),
    "plain-http": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "tls"),
    "plain-success": (FINE, "tls"),
    "alert": (_ALERT, "tls"),
    "junk": (bytes(range(256)), "tls"),
    "endless-record": (b"\x16\x03\x03\xff\xff" + bytes(70_000), "tls"),
    "message-of-16-MB": (b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + bytes(16_380), "tls"),
    "old-version": (b"\x16\x02\x00\x00\x04\x02\x00\x00\x00", "tls"),
    "data-first": (b"\x17\x03\x03\x00\x20" + bytes(32), "tls"),
    "silent": (b"", "timeout"),
    "half-a-hello": (_HALF_A_HELLO, "timeout"),
}
"""What is answered to the first message of TLS, and the verdict."""


def context(name: str, authority: Authority, elsewhere: Path) -> ssl.SSLContext | None:
    """Return the TLS context of a name, None for ""; `elsewhere` is for an unknown authority."""
    return _CONTEXTS[name](authority, elsewhere) if name else None


def _up_to_1_2(authority: Authority) -> ssl.SSLContext:
    made = authority.server()
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


def _http_2(authority: Authority) -> ssl.SSLContext:
    made = authority.server()
    made.set_alpn_protocols(["h2"])
    return made


def _weak(authority: Authority) -> ssl.SSLContext:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(authority.certificate(key=key))
    return context


def _names(number: int) -> x509.SubjectAlternativeName:
    more = (x509.DNSName(f"name-{n}.example") for n in range(number))
    return x509.SubjectAlternativeName([*LOCAL, *more])


_CONTEXTS: dict[str, Callable[[Authority, Path], ssl.SSLContext]] = {
    "fine": lambda known, _: known.server(),
    "1.2": lambda known, _: _up_to_1_2(known),
    "1.1": lambda known, _: at_most(known.server(), ssl.TLSVersion.TLSv1_1),
    "expired": lambda known, _: known.server(from_day=-2, to_day=-1),
    "not-yet": lambda known, _: known.server(from_day=1, to_day=2),
    "elsewhere": lambda known, _: known.server(names=ELSEWHERE),
    "nameless": lambda known, _: known.server(names=None),
    "self-signed": lambda known, _: known.server(self_signed=True),
    "unknown": lambda _, elsewhere: Authority(elsewhere).server(),
    "demanding": lambda known, _: known.demanding(),
    "weak-key": lambda known, _: _weak(known),
    "huge": lambda known, _: known.server(names=_names(20_000)),
    "large": lambda known, _: known.server(names=_names(2000)),
    "http-2": lambda known, _: _http_2(known),
}


def _foreign(answer: bytes, *, stays: bool) -> Talk:
    """Read the first message of TLS, and answer without TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        if stays:
            await stay(reader)

    return talk


def _endless(first: bytes, again: bytes, every: float) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(every)

    return talk


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    reset(writer)


async def _ends_without_notice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a body that lasts until the end, without TLS's own end: an attacker could have cut it."""
    await request(reader)
    writer.write(OK + b"\r\nok")
    await asyncio.sleep(SEGMENT_SECONDS)
    writer.transport.abort()


@cache
def _openssl() -> ctypes.CDLL | None:
    """Return the library that Python's own `ssl` uses, None if it cannot be called."""
    if ssl.OPENSSL_VERSION_INFO[0] != 3 or (name := ctypes.util.find_library("ssl")) is None:
        return None
    try:
        library = ctypes.CDLL(name)
        library.OpenSSL_version.restype = ctypes.c_char_p
        return library if library.OpenSSL_version(0).decode() == ssl.OPENSSL_VERSION else None
    except (OSError, AttributeError):
        return None


def _floods_by(*calls: tuple[str, tuple[int, ...]]) -> Talk:
    """Read a request, and call functions of OpenSSL again and again instead of answering.

    Python's `ssl` has no names for them.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        library = _openssl()
        assert library is not None
        await request(reader)
        connection = writer.get_extra_info("ssl_object")._sslobj
        pointer = ctypes.c_void_p.from_address(id(connection) + _SSL_OFFSET)
        while not writer.is_closing():
            for _ in range(_AT_ONCE):
                for name, arguments in calls:
                    getattr(library, name)(pointer, *arguments)
            writer.write(b"")  # what waits in OpenSSL leaves with the next write
            await writer.drain()
            await asyncio.sleep(0.001)

    return talk


def _by_openssl() -> dict[str, Behaviour]:
    if _openssl() is None:
        return {}
    calls: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
        "renegotiations": (("SSL_renegotiate", ()), ("SSL_do_handshake", ())),
        "key-updates": (("SSL_key_update", (1,)), ("SSL_do_handshake", ())),
        "tickets": (("SSL_new_session_ticket", ()), ("SSL_do_handshake", ())),
    }
    return {
        f"tls-flood-of-{name}": Behaviour(
            _floods_by(*steps),
            "timeout|reset|tls",
            tls="1.2" if name == "renegotiations" else "fine",
        )
        for name, steps in calls.items()
    }


def _with(tls: str, verdict: str, talk: Talk | None = None) -> Behaviour:
    return Behaviour(talk or says(FINE), verdict, tls=tls)


TLS: dict[str, Behaviour] = {
    "tls-fine": _with("fine", "200"),
    "tls-expired": _with("expired", "tls"),
    "tls-not-yet-valid": _with("not-yet", "tls"),
    "tls-of-another-host": _with("elsewhere", "tls"),
    "tls-without-a-name": _with("nameless", "tls"),
    "tls-self-signed": _with("self-signed", "tls"),
    "tls-of-an-unknown-authority": _with("unknown", "tls"),
    "tls-1.1": _with("1.1", "tls"),
    "tls-demands-a-certificate": _with("demanding", "tls|reset"),
    "tls-with-a-weak-key": _with("weak-key", "tls"),
    "tls-certificate-of-400-KB": _with("huge", "tls"),
    "tls-certificate-of-50-KB": _with("large", "200"),
    "tls-http-2-only": _with("http-2", "protocol", says(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")),
    "tls-ends-without-notice": _with("fine", "200", _ends_without_notice),
    "tls-silent-after-the-handshake": _with("fine", "timeout", says()),
    "tls-resets": Behaviour(_resets, "tls", is_https=True),
    "tls-flood-of-warnings": Behaviour(_endless(b"", _WARNING * 1000, 0.0), "tls", is_https=True),
    "tls-flood-of-zeros": Behaviour(_endless(b"", bytes(65536), 0.0), "tls", is_https=True),
    "tls-hello-in-a-trickle": Behaviour(
        _endless(_HALF_A_HELLO[:9], b"\x03", 0.2), "timeout", is_https=True
    ),
    **{
        f"tls-{name}": Behaviour(
            _foreign(answer, stays=verdict == "timeout"), verdict, is_https=True
        )
        for name, (answer, verdict) in _FOREIGN.items()
    },
    **_by_openssl(),
}
