"""Traces of a secret in what was written down, in whatever spelling."""

import shutil
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatcher.embedded_postgres.binaries import find
from tests.conftest import Connection

BYTEA_FORMATS = ("hex", "escape")
SHORTEST = 12
"""Bytes from which on a secret, found somewhere, is not there by chance."""


def traces(text: str, secrets: Iterable[str]) -> list[str]:
    """Return the secrets that the text contains.

    They are found in plain text, in hexadecimal and in base64 at any offset, as a whole or as the
    key that they encode.
    """
    lower = text.lower()
    return [
        secret
        for secret in secrets
        if any(form in text for form in _exact(secret)) or any(f in lower for f in _hex(secret))
    ]


def _exact(secret: str) -> Iterator[str]:
    for plain in _keys(secret):
        for offset in range(3):
            # Only characters that hold nothing of what stands before or behind.
            encoded = b64encode(bytes(offset) + plain).decode()
            whole = encoded[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
            yield whole
            yield whole.replace("+", "-").replace("/", "_")
    yield secret


def _hex(secret: str) -> Iterator[str]:
    for plain in _keys(secret):
        yield plain.hex()
    yield secret.lower()


def _keys(secret: str) -> Iterator[bytes]:
    """The text's bytes, and those that it spells."""
    yield secret.encode()
    for prefix in ("whsec_", "dsp_"):
        bare = secret.removeprefix(prefix)
        if bare != secret:
            yield bare.encode()
    for decoded in (bytes.fromhex, _from_base64):
        try:
            key = decoded(secret.removeprefix("whsec_"))
        except ValueError:
            continue
        if len(key) >= SHORTEST:
            yield key


def _from_base64(text: str) -> bytes:
    return b64decode(text, validate=True)


async def every_row(connection: Connection) -> str:
    """Of every table, as text; with bytes both in hexadecimal and as characters with escapes."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    rows: list[str] = []
    for format_ in BYTEA_FORMATS:
        await connection.execute(f"SET bytea_output = {format_}")
        for table in tables:
            lines = await connection.fetch(f"SELECT t::text FROM {table['name']} AS t")  # noqa: S608
            rows += (row[0] for row in lines)
    return "\n".join(rows)


async def dump(dsn: str, binaries: Path | None) -> str | None:
    """Return the output of pg_dump, with bytes written in both ways.

    Return None if there is no pg_dump of the server's version.
    """
    program = shutil.which("pg_dump", path=str(find(binaries).directory))
    if program is None:
        return None
    text = ""
    for format_ in BYTEA_FORMATS:
        process = await create_subprocess_exec(
            *(program, "--dbname", dsn),
            env={"PGOPTIONS": f"-c bytea_output={format_}"},
            stdout=PIPE,
            stderr=PIPE,
        )
        out, errors = await process.communicate()
        if process.returncode:
            assert b"server version mismatch" in errors, errors.decode()
            return None
        text += out.decode()
    return text
