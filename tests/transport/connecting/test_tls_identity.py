"""Client certificates and own authorities: what receivers see of them, and what is never shared."""

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from dispatcher.core.credentials import TlsIdentity, tls_identity
from dispatcher.core.model import Response, SendError
from dispatcher.transport.connecting import tls as tls_module
from dispatcher.transport.connecting.tls import ClientContext, ClientContexts
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.receivers import RawReceiver, Receiver, read_request
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("trusted_authority")

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("others"))


async def posted(
    sender: Sender, url: str, identity: TlsIdentity | None = None
) -> Response | SendError:
    return await sender.post(Post(url, {}, b"{}", timeout=30, tls=identity))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_receiver_accepts_only_the_right_client_certificate(
    sender: Sender, authority: Authority, other: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.demanding()
    context.minimum_version = context.maximum_version = version
    expired = authority.client(from_day=-3, to_day=-1)
    async with Receiver(ssl_context=context) as receiver:
        for pair in (None, other.client(), expired):
            identity = tls_identity(*pair, None) if pair else None
            refused = await posted(sender, receiver.url, identity)
            assert isinstance(refused, SendError), pair
            assert refused.code in ("tls", "reset")
        assert receiver.requests == []
        answer = await posted(sender, receiver.url, tls_identity(*authority.client(), None))
        assert isinstance(answer, Response)
        assert answer.status == 200


async def test_an_own_authority_replaces_those_of_the_system(
    sender: Sender, authority: Authority, other: Authority
) -> None:
    theirs = tls_identity(None, None, other.root.read_text())
    async with (
        Receiver(ssl_context=other.server()) as private,
        Receiver(ssl_context=authority.server()) as public,
    ):
        answer = await posted(sender, private.url, theirs)
        assert isinstance(answer, Response)
        for url, identity in ((private.url, None), (public.url, theirs)):
            refused = await posted(sender, url, identity)
            assert isinstance(refused, SendError)
            assert refused.code == "tls"
            assert "not trusted" in refused.reason


async def test_connections_and_sessions_are_shared_only_within_one_identity(
    sender: Sender, authority: Authority
) -> None:
    seen: list[tuple[int, str, bool]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        number = (tls.getpeercert() or {}).get("serialNumber", "")
        for _ in range(2):
            await read_request(reader)
            seen.append((id(writer), number, tls.session_reused))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    context = authority.server()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(authority.root)
    first, second = (tls_identity(*authority.client(), None) for _ in range(2))
    async with RawReceiver(script, ssl_context=context) as receiver:
        for identity in (first, first, second, None, second, None, first):
            assert isinstance(await posted(sender, receiver.url, identity), Response)
    connections = [connection for connection, _, _ in seen]
    assert connections[0] == connections[1]
    assert connections[2] == connections[4]
    assert connections[3] == connections[5]
    assert len({number for _, number, _ in seen}) == 3
    assert seen[0][1] == seen[1][1] == seen[6][1] != seen[2][1]
    assert [reused for _, _, reused in seen[:6]] == [False] * 6
    assert seen[6][2], "the first identity takes up its own session"


async def test_unusable_certificates_are_an_error_without_their_text(
    sender: Sender, authority: Authority
) -> None:
    certificate, key = authority.client()
    _, wrong_key = authority.client()
    async with Receiver(ssl_context=authority.server()) as receiver:
        for identity in (
            tls_identity(certificate, wrong_key, None),
            tls_identity(certificate, "nonsense", None),
            tls_identity(None, None, "nonsense"),
        ):
            refused = await posted(sender, receiver.url, identity)
            assert isinstance(refused, SendError)
            assert refused.code == "tls"
            assert "own certificates cannot be used" in refused.reason
            assert "nonsense" not in refused.reason
        assert key not in repr(tls_identity(certificate, key, None))


@pytest.mark.parametrize("limit", ["SYSTEM_CA_LIMIT", "OWN_CA_LIMIT"])
async def test_a_context_is_built_once_for_an_identity_and_few_are_kept(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    built: list[TlsIdentity | None] = []
    build = ClientContext.__init__

    def counted(self: ClientContext, identity: TlsIdentity | None = None) -> None:
        built.append(identity)
        build(self, identity)

    monkeypatch.setattr(ClientContext, "__init__", counted)
    monkeypatch.setattr(tls_module, limit, 2)
    contexts = ClientContexts()
    ca = authority.root.read_text() if limit == "OWN_CA_LIMIT" else None
    first, second, third = (tls_identity(*authority.client(), ca) for _ in range(3))
    at_once = await asyncio.gather(*(contexts.get(first) for _ in range(10)))
    assert len(set(map(id, at_once))) == 1
    for identity in (second, third, first, None):
        await contexts.get(identity)
    assert built == [None, first, second, third, first]


def hashed(authority: Authority, directory: Path) -> Path:
    """A directory in which OpenSSL can look up the authority's certificate."""
    directory.mkdir()
    shutil.copy(authority.root, directory / "root.pem")
    subprocess.run(["openssl", "rehash", directory], check=True)
    return directory


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("is_complete", [True, False])
async def test_system_certificates_are_loaded_at_once_only_if_one_lacks_a_file_of_its_own(
    sender: Sender,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_complete: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed(authority, tmp_path / "hashed")))
    if not is_complete:
        both = tmp_path / "both.pem"
        both.write_text(authority.root.read_text() + authority.client()[0])
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
    identity = tls_identity(*authority.client(), None)
    assert (ClientContext(identity).cert_store_stats()["x509"] == 0) == is_complete
    async with Receiver(ssl_context=authority.server()) as receiver:
        answer = await posted(sender, receiver.url, identity)
        assert isinstance(answer, Response)
    async with Receiver(ssl_context=Authority(tmp_path).server()) as receiver:
        refused = await posted(sender, receiver.url, identity)
        assert isinstance(refused, SendError)
        assert "not trusted" in refused.reason


async def test_a_client_key_is_not_left_on_disk(authority: Authority, tmp_path: Path) -> None:
    opened: list[str] = []

    class Watching(ClientContext):
        def load_cert_chain(self, certfile: object, keyfile: object = None, **more: object) -> None:  # type: ignore[override]
            opened.extend(map(str, (certfile, keyfile)))
            super().load_cert_chain(certfile, keyfile, **more)  # type: ignore[arg-type]

    Watching(tls_identity(*authority.client(), None))
    assert all(path.startswith("/proc/self/fd/") for path in opened)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no files in memory")
async def test_own_authorities_are_read_from_a_file(authority: Authority) -> None:
    """OpenSSL keeps the interpreter lock while it reads certificates from a text."""
    read: list[tuple[str, object]] = []

    class Watching(ClientContext):
        def load_verify_locations(
            self, cafile: object = None, capath: object = None, cadata: object = None
        ) -> None:
            read.append((str(cafile), cadata))
            super().load_verify_locations(cafile, capath, cadata)  # type: ignore[arg-type]

    context = Watching(tls_identity(None, None, authority.root.read_text()))
    ((path, text),) = read
    assert path.startswith("/proc/self/fd/")
    assert text is None
    assert context.cert_store_stats()["x509_ca"] == 1


async def test_contexts_of_one_environment_are_built_one_at_a_time_beside_those_of_others(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = authority.root.read_text()
    contexts = ClientContexts()
    building, go = 0, threading.Event()
    build = ClientContext.__init__

    def slow(self: ClientContext, identity: TlsIdentity | None = None) -> None:
        nonlocal building
        if identity is not None and identity.key is None:
            building += 1
            go.wait()
        build(self, identity)

    monkeypatch.setattr(ClientContext, "__init__", slow)
    many = [tls_identity(None, None, ca + "\n" * number) for number in range(40)]
    waiting = [asyncio.create_task(contexts.get(identity, "large")) for identity in many]
    try:
        await until(lambda: building > 0, "the first context is being built")
        async with asyncio.timeout(10):
            await contexts.get(tls_identity(*authority.client(), ca), "small")
        assert building == 1
    finally:
        go.set()
    assert len(set(map(id, await asyncio.gather(*waiting)))) == 40
