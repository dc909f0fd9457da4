"""What no client should send: refused with a code and a place, and nothing is changed."""

import base64
import json
from typing import Any

import orjson
import pytest

from dispatcher.api.representations.serialize import camel
from tests.api.conftest import JSON, JSONAPI, Client
from tests.api.refusals import documented, pointers, said, untouched
from tests.conftest import Connection

WEBHOOK: dict[str, Any] = {"url": "https://example.com/", "events": ["user.created"]}

both = pytest.mark.parametrize("dialect", [JSON, JSONAPI])


def written(attributes: dict[str, Any], dialect: str) -> bytes:
    """A webhook's attributes, by their Python names, as this dialect writes them."""
    if dialect == JSONAPI:
        return json.dumps(documented("webhook", attributes)).encode()
    return json.dumps({camel(name): value for name, value in attributes.items()}).encode()


def placed(name: str, further: str, dialect: str) -> str:
    return f"/data/attributes/{name}{further}" if dialect == JSONAPI else f"/{camel(name)}{further}"


# ── what is no JSON, or could be read as two things ──────────────────────────────────────────────


def around(value: bytes) -> bytes:
    return b'{"url":"https://example.com","events":["a"],"metadata":{"a":' + value + b"}}"


UNREADABLE = {
    "nothing but space": b" \n",
    "an object not closed": b"{",
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a comment": b"{} // yes",
    "two documents": b"{}{}",
    "NaN": around(b"NaN"),
    "Infinity": around(b"-Infinity"),
    "a leading zero": around(b"01"),
    "a control character": b'{"name":"\x00"}',
    "not UTF-8": b'{"name":"\xff"}',
    "UTF-16": '{"name":"a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a key twice": b'{"name":"a","name":"b"}',
    "a key twice, escaped": b'{"name":"a","n\\u0061me":"b"}',
    "a key twice, deep inside": around(b'[{"b":[{"c":1,"c":1}]}]'),
    "half a surrogate pair": around(b'"\\ud800"'),
    "half a surrogate pair in a key": b'{"\\udfff":1}',
    "65 deep": around(b"[" * 63 + b"]" * 63),
    "6000 deep": around(b"[" * 6000 + b"]" * 6000),
    "500,000 deep, not closed": b"[" * 500_000,
    "an integer of 5000 digits": around(b"1" * 5000),
}


@both
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_invalid_json_is_refused(
    ask: Client, database: Connection, dialect: str, body: bytes
) -> None:
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body, Content_Type=dialect)
    assert (refused.status, refused.type) == (400, dialect)
    said(refused, "bad_json")


@pytest.mark.parametrize(
    "body", [around(b"[" * 62 + b"]" * 62), around(b'"' + b"[{" * 500 + b'"')], ids=["64", "text"]
)
async def test_json_of_64_levels_is_accepted_and_brackets_in_strings_do_not_count(
    ask: Client, body: bytes
) -> None:
    assert (await ask("POST", "/api/webhooks", body)).status == 201


@pytest.mark.parametrize("document", [[], None, 1, "x", True])
@both
async def test_a_body_that_is_not_an_object_is_refused(
    ask: Client, dialect: str, document: object
) -> None:
    refused = await ask("POST", "/api/webhooks", orjson.dumps(document), Content_Type=dialect)
    assert refused.status == 422
    assert pointers(refused) == [""]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({}, "/data"),
        ({"data": None}, "/data"),
        ({"data": []}, "/data"),
        ({"data": {"type": "webhook"}}, "/data/attributes"),
        ({"data": {"attributes": WEBHOOK}}, "/data/type"),
        (documented("event", WEBHOOK), "/data/type"),
        ({**documented("webhook", WEBHOOK), "meta": {}}, "/meta"),
        ({"data": {"type": "webhook", "attributes": WEBHOOK, "x": 1}}, "/data/x"),
    ],
)
async def test_a_body_that_is_not_a_jsonapi_document_is_refused(
    ask: Client, database: Connection, document: object, pointer: str
) -> None:
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", document, Content_Type=JSONAPI)
    assert refused.status == 422
    assert pointers(refused) == [pointer]


async def test_the_id_in_a_document_must_be_that_of_the_address(ask: Client) -> None:
    made = (await ask("POST", "/api/webhooks", WEBHOOK)).data["id"]
    other = {"data": {"type": "webhook", "id": "another", "attributes": {"name": "x"}}}
    refused = await ask("PATCH", f"/api/webhooks/{made}", other, Content_Type=JSONAPI)
    assert (refused.status, pointers(refused)) == (409, ["/data/id"])
    own = {"data": {"type": "webhook", "id": made, "attributes": {"name": "x"}}}
    assert (await ask("PATCH", f"/api/webhooks/{made}", own, Content_Type=JSONAPI)).status == 200


# ── fields ───────────────────────────────────────────────────────────────────────────────────────

NO_HEADERS = [
    "Accept",
    "Connection",
    "content-length",
    "Content-Type",
    "Cookie",
    "Expect",
    "HOST",
    "Keep-Alive",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "webhook-id",
    "Webhook-Signature",
    "webhook-timestamp",
    "X A",
    "X:A",
    "X-A\r\nX-B",
    "",
    "Ä",
    "X\x00",
    "x" * 101,
]


def any_of(*values: Any) -> tuple[Any, ...]:
    """Of whatever type."""
    return values


WRONG: list[tuple[str, Any, str]] = [
    *(("url", url, "") for url in any_of(None, 1, "", [], "x" * 3000, f"https://example.com/{'a' * 2048}")),
    *(("events", events, "") for events in any_of(None, [], "user.*", {"0": "a"}, [f"a{n}" for n in range(201)])),
    *(("events", ["a", wrong], "/1") for wrong in any_of(1, None, "", "a b", "*.a", "a.", "a..b", "a*", "ä", "a\n", "x" * 129)),
    *(("name", name, "") for name in any_of(1, "", "  ", "\x00", "a\nb", "x" * 201)),
    *(("description", text, "") for text in any_of(None, 1, "\x00", "x" * 1001)),
    *(("active", value, "") for value in any_of(None, 1, "true")),
    *(("headers", value, "") for value in any_of(None, [], "X-A: b", {"X-A": "1", "x-a": "2"})),
    *(("headers", {f"X-{n}": "a" for n in range(count)}, "") for count in (21, 1000)),
    *(("headers", {name: "a"}, f"/{name}") for name in NO_HEADERS),
    *(("headers", {"X-A": value}, "/X-A") for value in any_of(1, None, "", " a", "a\r\nX-B: c", "a\nb", "\x00", "ä", "x" * 5000)),
    ("headers", {f"X-{n}": "x" * 1000 for n in range(5)}, ""),
    *(("headers", {name: "a"}, "") for name in ("X-Dispatcher-Event", "x-dispatcher-signature")),
    *(("rate_limit", value, "") for value in any_of(0, -1, 1.5, "5", True, 10**9, 10**30)),
    *(("max_in_flight", value, "") for value in any_of(0, 1.0, "5", 10**9)),
    *(("timeout", value, "") for value in any_of(0, -1, 31, "2", True, [])),
    *(("retry", value, "") for value in any_of(1, [], "never")),
    *(("retry", {name: value}, f"/{name}") for name, value in [("retries", -1), ("retries", 51), ("base", 0), ("factor", 0.5), ("jitter", 2), ("cap", "1h"), ("delay", 1)]),
    *(("ordered", value, "") for value in any_of(None, "yes", 1)),
    *(("signature_schemes", value, "") for value in any_of([], "standard", ["standard"] * 5)),
    *(("signature_schemes", ["standard", value], "/1") for value in any_of("md5", "ed25519", 1, None)),
    *(("metadata", value, "") for value in any_of(None, [], "x", {"a": "x" * 17_000}, {"a": 2**64})),
    ("created_at", "2026-01-01T00:00:00Z", ""),
    ("nonsense", 1, ""),
]  # fmt: skip


@both
@pytest.mark.parametrize(
    ("name", "value", "further"), WRONG, ids=[f"{n}={v!r:.40}" for n, v, _ in WRONG]
)
async def test_a_wrong_field_is_pointed_at(
    ask: Client, database: Connection, dialect: str, name: str, value: Any, further: str
) -> None:
    body = written({**WEBHOOK, name: value}, dialect)
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body, Content_Type=dialect)
    assert (refused.status, refused.type) == (422, dialect)
    said(refused, "invalid")
    assert pointers(refused) == [placed(name, further, dialect)]


async def test_a_field_in_the_spelling_of_the_other_dialect_is_refused(
    ask: Client, database: Connection
) -> None:
    async with untouched(database):
        snake = await ask("POST", "/api/webhooks", {**WEBHOOK, "rate_limit": 5})
        camel_ = documented("webhook", {**WEBHOOK, "rateLimit": 5})
        refused = await ask("POST", "/api/webhooks", camel_, Content_Type=JSONAPI)
    assert (snake.status, pointers(snake)) == (422, ["/rate_limit"])
    assert (refused.status, pointers(refused)) == (422, ["/data/attributes/rateLimit"])


async def test_a_number_that_is_not_finite_is_refused(ask: Client, database: Connection) -> None:
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", around(b"1e400"))
    assert (refused.status, pointers(refused)) == (422, ["/metadata"])


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("event-types/a.b", {"description": "\x00"}, "/description"),
        ("event-types/a.b", {"schema": 5}, "/schema"),
        ("event-types/a.b", {"schema": {"type": "nonsense"}}, "/schema"),
        ("event-types/a.b", {"schema": {"$ref": "https://example.com/"}}, "/schema"),
        ("event-types/a.b", {"enforce": True}, "/enforce"),
        ("event-types/a%20b", {}, "/name"),
        ("environments", {"name": "\x00"}, "/name"),
        ("environments", {"name": "x", "id": "a b"}, "/id"),
        ("tokens", {"name": "x", "environmentId": "'"}, "/environmentId"),
        ("tokens", {"name": "x", "environmentId": "*", "scope": "root"}, "/scope"),
        ("tokens", {"name": "x", "environmentId": "*", "expiresAt": 4102444800}, "/expiresAt"),
        ("tokens", {"name": "x", "environmentId": "*", "expiresAt": "2100-01-01"}, "/expiresAt"),
        ("pause", {"all": 1}, "/all"),
        ("events", {"type": "a b", "data": 1}, "/type"),
        ("events", {"type": "a"}, "/data"),
    ],
)
async def test_wrong_fields_of_other_resources_are_pointed_at_too(
    ask: Client, database: Connection, path: str, body: object, pointer: str
) -> None:
    method = "PUT" if path.startswith("event-types") else "POST"
    async with untouched(database):
        refused = await ask(method, f"/api/{path}", body)
    assert (refused.status, refused.code, pointers(refused)) == (422, "invalid", [pointer])


# ── secrets of one's own ─────────────────────────────────────────────────────────────────────────

SECRETS = {
    "empty": "",
    "one byte": "x",
    "a million bytes": "A" * 10**6,
    "not base64": "§$%&/()=?" * 5,
    "the alphabet of URLs": base64.urlsafe_b64encode(b"\xff" * 32).decode(),
    "no padding": base64.b64encode(b"\xfe" * 32).decode().rstrip("="),
    "23 bytes of key": base64.b64encode(b"\xfd" * 23).decode(),
    "65 bytes of key": base64.b64encode(b"\xfc" * 65).decode(),
    "a line break": "A" * 31 + "\n",
}


@both
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
async def test_an_unusable_secret_is_refused_and_not_repeated(
    ask: Client, database: Connection, dialect: str, secret: str
) -> None:
    body = written({**WEBHOOK, "signing_secret": secret}, dialect)
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body, Content_Type=dialect)
    assert refused.status == 422
    assert pointers(refused) == [placed("signing_secret", "", dialect)]
    if len(secret) > 1:
        assert secret[:30] not in str(refused.json)


# ── URLs ─────────────────────────────────────────────────────────────────────────────────────────

URLS = [
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fd00::1]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:a00:1::]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://a@b@example.com/",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:6667/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:http/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//example.com/",
    "example.com",
    "http://",
    "http:///path",
    "https://example.com/#fragment",
    "http://%31/",
    "http://example.com\\@10.0.0.1/",
    "http://example.com /",
    "http://example.com/\r\nX: y",
    "http://ex\u00adample.com/",
    "http://①②⑦.0.0.1/",
    "http://exa mple.com/",
    "http://a..b/",
]


@both
@pytest.mark.parametrize("url", URLS)
async def test_a_forbidden_url_is_refused(
    ask: Client, database: Connection, dialect: str, url: str
) -> None:
    body = written({**WEBHOOK, "url": url}, dialect)
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body, Content_Type=dialect)
    assert (refused.status, pointers(refused)) == (422, [placed("url", "", dialect)])


async def test_an_update_refuses_what_a_creation_refuses(ask: Client, database: Connection) -> None:
    made = (await ask("POST", "/api/webhooks", WEBHOOK)).data["id"]
    async with untouched(database):
        wrong: list[dict[str, Any]]
        wrong = [{"url": "http://10.0.0.1/"}, {"headers": {"Host": "x"}}, {"events": []}]
        for changes in wrong:
            refused = await ask("PATCH", f"/api/webhooks/{made}", {"name": "new", **changes})
            assert refused.status == 422
    assert (await ask("GET", f"/api/webhooks/{made}")).data["name"] == "example.com"


# ── too much ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_of_a_million_items_is_refused_as_too_large(
    ask: Client, database: Connection
) -> None:
    body = b'{"url":"https://example.com/","events":[' + b"1," * 10**6 + b"1]}"
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body)
    assert (refused.status, refused.code) == (413, "too_large")
    (detail,) = refused.json["error"]["details"]
    assert detail["message"].startswith("the body must be at most 1048576 bytes (limits.body_bytes")


MANY = {
    "a list of 250,000": b'{"url":"https://e.com/","events":[' + b'"a",' * 250_000 + b'"a"]}',
    "a list of 400,000 wrong ones": b'{"url":"https://e.com/","events":['
    + b"1," * 400_000
    + b"1]}",
    "80,000 unknown fields": b"{" + b",".join(b'"%d":1' % n for n in range(80_000)) + b"}",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY.keys())
async def test_many_errors_get_a_short_answer(
    ask: Client, database: Connection, body: bytes
) -> None:
    async with untouched(database):
        refused = await ask("POST", "/api/webhooks", body)
    assert refused.status == 422
    assert len(refused.body) < 10_000


async def test_a_compressed_body_is_not_read(ask: Client, database: Connection) -> None:
    async with untouched(database):
        for encoding in ("gzip", "deflate", "br", "zstd", "x-nonsense"):
            refused = await ask("POST", "/api/webhooks", b"\x1f\x8b", Content_Encoding=encoding)
            assert (refused.status, refused.code) == (415, "unsupported_encoding")
