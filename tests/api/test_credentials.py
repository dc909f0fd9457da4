"""The credentials of webhooks, from the API to a receiver: what is sent, and what is never shown."""

import asyncio
import base64
import hashlib
import ssl
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from cryptography.hazmat.primitives import serialization

from dispatcher.core.credentials import TlsIdentity
from dispatcher.services.webhooks import webhook_credentials
from dispatcher.transport.connecting.tls import ClientContext
from tests.api.conftest import JSONAPI, Client, delivered
from tests.certificates import Authority
from tests.conftest import Connection
from tests.end_to_end.stories import SharedStory, Story
from tests.receivers import Answer, Receiver
from tests.waiting import until

PASSWORD = "the-password-that-stays-hidden"
CLIENT_SECRET = "the-client-secret-that-stays-hidden"
TOKEN = "the-access-token-that-stays-hidden"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


async def created(client: Client, **fields: Any) -> Any:
    made = await client("POST", "/api/webhooks", {"events": ["user.created"], **fields})
    assert made.status == 201, made.json
    return made.data


async def problems(client: Client, **fields: Any) -> list[tuple[str, str]]:
    """Return the place and the reason of each error of a new webhook."""
    refused = await client("POST", "/api/webhooks", {"events": ["a"], **fields})
    assert refused.status == 422, refused.body
    details = refused.json["error"]["details"]
    return [(detail["pointer"], detail["message"]) for detail in details]


def oauth2(server: Receiver, **more: str) -> dict[str, str]:
    fields = {"tokenUrl": f"{server.url}token", "clientId": "me", "clientSecret": CLIENT_SECRET}
    return {"type": "oauth2", **fields, **more}


def basic(**more: str) -> dict[str, str]:
    return {"type": "basic", "username": "a user", "password": PASSWORD, **more}


async def test_basic_credentials_are_sent_and_only_their_type_is_shown(
    ask: Client, shared_story: SharedStory, receiver: Receiver
) -> None:
    webhook = await created(ask, url=receiver.url, authentication=basic())
    shared_story.adopt(webhook["id"])
    assert webhook["authentication"]["type"] == "basic"
    await shared_story.insert()
    (request,) = await receiver.wait_for(1)
    expected = base64.b64encode(f"a user:{PASSWORD}".encode()).decode()
    assert request.headers["Authorization"] == f"Basic {expected}"
    path = f"/api/webhooks/{webhook['id']}"
    changed = await ask("PATCH", path, {"name": "other"})
    assert changed.data["authentication"]["type"] == "basic", "it stays if it is not named"
    changed = await ask("PATCH", path, {"authentication": None})
    assert changed.data["authentication"] is None
    await shared_story.insert()
    requests = await receiver.wait_for(2)
    assert "Authorization" not in requests[1].headers


async def test_the_userinfo_of_a_url_becomes_basic_credentials(
    ask: Client, shared_story: SharedStory, authority: Authority
) -> None:
    async with Receiver(ssl_context=authority.server()) as receiver:
        place = f"127.0.0.1:{receiver.port}/hook?a=b"
        webhook = await created(
            ask,
            url=f"https://us%40er:{PASSWORD}%3A@{place}",
            tls={"ca": authority.root.read_text()},
        )
        shared_story.adopt(webhook["id"])
        assert webhook["url"] == f"https://{place}"
        await shared_story.insert()
        (request,) = await receiver.wait_for(1)
        expected = base64.b64encode(f"us@er:{PASSWORD}:".encode()).decode()
        assert request.headers["Authorization"] == f"Basic {expected}"
        path = f"/api/webhooks/{webhook['id']}"
        changed = await ask("PATCH", path, {"url": f"https://other:{PASSWORD}2@{place}"})
        assert changed.data["url"] == f"https://{place}"
        await shared_story.insert()
        (_, request) = await receiver.wait_for(2)
        expected = base64.b64encode(f"other:{PASSWORD}2".encode()).decode()
        assert request.headers["Authorization"] == f"Basic {expected}"


async def test_a_client_certificate_and_an_own_authority_are_used(
    ask: Client, shared_story: SharedStory, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.client()
    ca = authority.root.read_text()
    async with Receiver(ssl_context=authority.demanding()) as receiver:
        tls = {"certificate": certificate, "key": key, "ca": ca}
        webhook = await created(ask, url=receiver.url, tls=tls)
        shared_story.adopt(webhook["id"])
        shown = webhook["tls"]
        assert shown["certificate"].keys() == {"subject", "fingerprint", "notAfter"}
        assert shown["certificate"]["subject"] == "CN=127.0.0.1"
        der = ssl.PEM_cert_to_DER_cert(certificate)
        assert shown["certificate"]["fingerprint"] == hashlib.sha256(der).hexdigest()
        assert [entry["subject"] for entry in shown["ca"]] == ["CN=Test authority"]
        await shared_story.insert()
        await receiver.wait_for(1)
        path = f"/api/webhooks/{webhook['id']}"
        other = Authority(tmp_path)
        changed = await ask("PATCH", path, {"tls": {"ca": other.root.read_text()}})
        assert changed.data["tls"]["certificate"] is None
        await shared_story.insert()

        async def has_failed() -> bool:
            return "tls" in {attempt["outcome"] for attempt in await shared_story.attempts()}

        await until(has_failed, "the daemon uses the changed certificates")
        assert (await ask("PATCH", path, {"tls": tls})).status == 200
        await receiver.wait_for(2)


async def test_an_access_token_is_fetched_and_sent(
    ask: Client, shared_story: SharedStory, receiver: Receiver
) -> None:
    async with Receiver() as server:
        body = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 60}
        server.otherwise = Answer(200, body=orjson.dumps(body))
        webhook = await created(
            ask, url=receiver.url, authentication=oauth2(server, scope="events")
        )
        shared_story.adopt(webhook["id"])
        shown = {name: value for name, value in webhook["authentication"].items() if value}
        assert shown == {
            "type": "oauth2",
            "tokenUrl": f"{server.url}token",
            "clientId": "me",
            "scope": "events",
        }
        receiver.answers = [401]
        await shared_story.insert(3)
        await receiver.wait_for(4)
        assert {r.headers["Authorization"] for r in receiver.requests} == {f"Bearer {TOKEN}"}
        await delivered(ask, webhook["id"], 3)
        assert len(await shared_story.attempts()) == 3


async def test_an_attempt_without_a_token_is_retried(
    ask: Client, shared_story: SharedStory, receiver: Receiver
) -> None:
    async with Receiver() as server:
        server.answers = [500]
        server.otherwise = Answer(200, body=orjson.dumps({"access_token": TOKEN}))
        webhook = await created(ask, url=receiver.url, authentication=oauth2(server))
        shared_story.adopt(webhook["id"])
        await shared_story.insert()
        await receiver.wait_for(1)
        await shared_story.ended(DELIVERED=1)
        first = (await shared_story.attempts())[0]
        assert (first["outcome"], first["error"]) == (
            "authentication",
            "no access token: the token server answered 500",
        )


@pytest.mark.parametrize(
    ("fields", "pointer", "reason"),
    [
        ({"authentication": {"type": "basic"}}, "/authentication", "basic needs password"),
        (
            {"authentication": basic(clientId="x")},
            "/authentication",
            "basic cannot have client id",
        ),
        (
            {"authentication": {"type": "oauth2", "clientId": "x"}},
            "/authentication",
            "oauth2 needs client secret and token url",
        ),
        ({"authentication": basic(username="a:b")}, "/authentication/username", "without colons"),
        (
            {"authentication": basic(), "headers": {"authorization": "x"}},
            "/authentication",
            "a header Authorization",
        ),
        (
            {
                "authentication": {
                    "type": "oauth2",
                    "tokenUrl": "http://10.0.0.1/",
                    "clientId": "x",
                    "clientSecret": CLIENT_SECRET,
                }
            },
            "/authentication/tokenUrl",
            "private",
        ),
        (
            {"authentication": basic(), "url": f"https://u:{PASSWORD}@127.0.0.1/"},
            "/url",
            "user name or password",
        ),
        ({"tls": {}}, "/tls", "must have a certificate"),
        ({"tls": {"key": "x"}}, "/tls", "together"),
        ({"tls": {"ca": "x"}}, "/tls/ca", "PEM"),
        ({"tls": {"ca": "x" * 65_537}}, "/tls/ca", "65536"),
        ({"tls": {"certificate": "x", "key": "y"}}, "/tls/certificate", "PEM"),
    ],
)
async def test_an_invalid_value_is_refused_with_its_place(
    ask: Client, fields: dict[str, Any], pointer: str, reason: str
) -> None:
    ((place, message),) = await problems(ask, **{"url": "http://127.0.0.1/", **fields})
    assert place == pointer
    assert reason in message
    assert PASSWORD not in message


async def test_certificates_that_cannot_work_are_refused(
    ask: Client, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.client()
    _, other_key = authority.client()
    old, old_key = authority.client(from_day=-3, to_day=-1)
    encrypted = (
        serialization.load_pem_private_key(key.encode(), None)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
        .decode()
    )
    for tls, name, reason in (
        ({"certificate": certificate, "key": other_key}, "key", "is not the key"),
        ({"certificate": certificate, "key": "nonsense"}, "key", "private key in PEM"),
        ({"certificate": certificate, "key": encrypted}, "key", "not be encrypted"),
        ({"certificate": old, "key": old_key}, "certificate", "expired on"),
        ({"ca": old}, "ca", "expired on"),
    ):
        ((place, message),) = await problems(ask, url="https://127.0.0.1/", tls=tls)
        assert place == f"/tls/{name}"
        assert reason in message


async def test_a_header_and_an_authentication_exclude_each_other_in_changes_too(
    ask: Client,
) -> None:
    webhook = await created(
        ask, url="http://127.0.0.1:50009/", events=["a"], headers={"Authorization": "x"}
    )
    path = f"/api/webhooks/{webhook['id']}"
    assert (await ask("PATCH", path, {"authentication": basic()})).status == 422
    both = {"authentication": basic(), "headers": {"authorization": None}}
    assert (await ask("PATCH", path, both)).status == 200
    assert (await ask("PATCH", path, {"headers": {"Authorization": "y"}})).status == 422


async def test_a_document_names_its_fields_in_snake_case(ask: Client) -> None:
    authentication = {
        "type": "oauth2",
        "token_url": "http://127.0.0.1:50009/",
        "client_id": "me",
        "client_secret": CLIENT_SECRET,
        "auth_method": "client_secret_post",
    }
    attributes = {
        "url": "http://127.0.0.1:50009/",
        "events": ["a"],
        "authentication": authentication,
    }
    document = {"data": {"type": "webhook", "attributes": attributes}}
    made = await ask("POST", "/api/webhooks", document, Content_Type=JSONAPI)
    assert made.status == 201, made.json
    shown = made.json["data"]["attributes"]["authentication"]
    assert {n: v for n, v in shown.items() if v} == {
        n: v for n, v in authentication.items() if n != "client_secret"
    }


class SlowContexts:
    """Contexts for certificates, built only when `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.go = threading.Event()
        monkeypatch.setattr(webhook_credentials, "ClientContext", self._build)

    def _build(self, identity: TlsIdentity) -> ClientContext:
        self.count += 1
        self.go.wait()
        return ClientContext(identity)


async def test_checking_certificates_holds_no_connection_to_the_database(
    ask: Client, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await created(ask, url="http://127.0.0.1:50009/")
    path = f"/api/webhooks/{webhook['id']}"
    tls = {"ca": authority.root.read_text()}
    slow = SlowContexts(monkeypatch)
    changes = [asyncio.create_task(ask("PATCH", path, {"tls": tls})) for _ in range(4)]
    try:

        async def is_checking() -> bool:
            return slow.count > 0

        await until(is_checking, "a check is under way")
        assert (await ask("GET", path)).status == 200
        assert slow.count == 1, "the environment has one thread"
    finally:
        slow.go.set()
    assert [answer.status for answer in await asyncio.gather(*changes)] == [200] * 4


async def test_certificates_for_a_webhook_that_does_not_exist_are_not_checked(
    ask: Client, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowContexts(monkeypatch)
    slow.go.set()
    for ca in (authority.root.read_text(), "nonsense"):
        for place in (str(uuid4()), "nonsense"):
            missing = await ask("PATCH", f"/api/webhooks/{place}", {"tls": {"ca": ca}})
            assert (missing.status, missing.code) == (404, "not_found")
    assert slow.count == 0


async def test_a_repeated_creation_has_the_first_response_whatever_its_certificates_are_by_now(
    ask: Client, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: TlsIdentity) -> None:
        raise ssl.SSLError

    fields = {"url": "http://127.0.0.1:50009/", "events": ["a"]}
    new = {**fields, "tls": {"ca": authority.root.read_text()}}
    first = await ask("POST", "/api/webhooks", new, Idempotency_Key="certificates")
    assert first.status == 201
    monkeypatch.setattr(webhook_credentials, "ClientContext", refused)
    again = await ask("POST", "/api/webhooks", new, Idempotency_Key="certificates")
    assert (again.status, again.data["id"]) == (201, first.data["id"])
    assert (await ask("POST", "/api/webhooks", new)).status == 422


@pytest.mark.long
async def test_no_secret_is_in_an_answer_in_the_database_or_in_the_log(
    admin: Client,
    story: Story,
    connection: Connection,
    receiver: Receiver,
    authority: Authority,
    capfd: pytest.CaptureFixture[str],
) -> None:
    certificate, key = authority.client()
    key_line = key.splitlines()[1]
    async with Receiver() as server:
        body = orjson.dumps({"access_token": TOKEN, "expires_in": 60})
        server.answers = [Answer(500, body=CLIENT_SECRET.encode()), Answer(200, body=body)]
        tls = {"certificate": certificate, "key": key}
        first = await created(admin, url=receiver.url, authentication=oauth2(server), tls=tls)
        second = await created(admin, url=receiver.url, authentication=basic())
        url = f"https://us:{PASSWORD}@127.0.0.1:50009/"
        third = await created(admin, url=url)
        path = f"/api/webhooks/{third['id']}"
        await admin("PATCH", path, {"url": url, "active": False, "tls": tls})
        receiver.answers = [401]
        await story.insert(2)
        await story.ended(DELIVERED=4)
        pages = [
            "/api/webhooks",
            *(f"/api/webhooks/{webhook['id']}" for webhook in (first, second, third)),
            f"/api/webhooks/{first['id']}/deliveries?limit=100",
            "/api/audit",
            "/api/events",
            "/openapi.json",
        ]
        answers = [await admin("GET", page) for page in pages]
        deliveries = answers[4].data["items"]
        answers += [
            await admin("GET", f"/api/deliveries/{delivery['id']}") for delivery in deliveries
        ]
        answers.append(await admin("GET", f"/api/deliveries/{deliveries[0]['id']}/attempts"))
    assert [answer.status for answer in answers] == [200] * len(answers)
    dump = await dumped(connection)
    assert first["id"] in dump
    places = {
        "answers": b"\n".join(answer.body for answer in answers).decode(),
        "database": dump,
        "log": "".join(capfd.readouterr()),
    }
    secrets = (PASSWORD, CLIENT_SECRET, TOKEN, key_line, *map(encoded, (PASSWORD, CLIENT_SECRET)))
    leaks = [(place, s) for place, text in places.items() for s in secrets if s in text]
    assert leaks == []


def encoded(secret: str) -> str:
    """A part of the secret as it is in every bytea that has it in clear."""
    return secret.encode().hex()


async def dumped(connection: Connection) -> str:
    """Every row of every table, as text."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname = 'dispatcher'"
    )
    rows = [
        row["line"]
        for table in tables
        for row in await connection.fetch(f"SELECT t::text AS line FROM {table['name']} AS t")  # noqa: S608
    ]
    return "\n".join(rows)
