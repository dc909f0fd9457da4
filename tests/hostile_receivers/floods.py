"""Receivers that write as fast as they are read, and never end."""

from tests.hostile_receivers.behaviour import OK, Behaviour, repeats

_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

_TABLE: dict[str, tuple[bytes, bytes, str]] = {
    "interim-answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "protocol"),
    "processing": (b"", b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" * 2000, "protocol"),
    "empty-lines": (b"", b"\r\n" * 20_000, "protocol"),
    "junk": (b"", bytes(range(256)) * 256, "protocol"),
    "http-2-pings": (b"", b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8) * 4000, "protocol"),
    "interim-head": (b"HTTP/1.1 103 Hints\r\n", b"X-A: b\r\n" * 5000, "protocol"),
    "answers": (b"", (OK + b"Content-Length: 2\r\n\r\nok") * 2000, "200"),
    "answers-without-a-body": (b"", b"HTTP/1.1 204 No\r\n\r\n" * 2000, "204"),
    "reason": (b"HTTP/1.1 200 ", b"a" * 65536, "200"),
    "headers": (b"HTTP/1.1 503 No\r\n", b"Connection: x\r\n" * 5000, "503"),
    "one-header": (OK + b"X: ", b"a" * 65536, "200"),
    "folded-header": (OK + b"X: a\r\n", b" b\r\n" * 10_000, "200"),
    "chunks-of-one-byte": (_CHUNKED, b"1\r\nx\r\n" * 10_000, "200"),
    "chunk-extension": (_CHUNKED + b"1;", b"a=b;" * 10_000, "200"),
    "zeros-of-a-chunk-size": (_CHUNKED, b"0" * 65536, "200"),
    "trailers": (_CHUNKED + b"0\r\n", b"A: b\r\n" * 5000, "200"),
    "chunked-body": (_CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n", "200"),
    "body": (OK + b"\r\n", b"x" * 65536, "200"),
    "length": (OK + b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65536, "200"),
    "zeros": (OK, bytes(65536), "200"),
    "gone": (b"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n", b"x" * 65536, "410"),
    "compressed": (OK + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08" * 20_000, "200"),
    "upgrade": (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", b"\x81\x05hello" * 9000, "101"),
}
"""What is written once, what is written again and again, the verdict."""

FLOODS = {
    f"flood-of-{name}": Behaviour(repeats(first, again), verdict)
    for name, (first, again, verdict) in _TABLE.items()
}
