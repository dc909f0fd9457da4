"""Signing secrets and custom header values at rest: sealed with a key that is not in the database.

A sealed value is `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`, AES-256-GCM.
Its context (an endpoint's id, say) is authenticated with it, so that a value can not be moved to
another row. What the key is used for is derived from it, so that its check value, which the
database stores, tells nothing about what it encrypts with.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dispatcher.config.sections import Config, ConfigError

KEY_BYTES = 32
KEY_FILE = "secrets.key"

_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class WrongKey(Exception):
    """A value was sealed with another key, for another context, or has been altered."""


class Cipher:
    """Seals and opens values with one key of 32 bytes. Nothing of the key shows in its `repr`."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key must have {KEY_BYTES} bytes")
        self._aead = AESGCM(_derived(key, b"dispatcher/1/encrypt"))
        self._check = _derived(key, b"dispatcher/1/check")
        self._cursors = _derived(key, b"dispatcher/1/cursors")

    def __repr__(self) -> str:
        return "Cipher()"

    def encrypt(self, plain: bytes, *, context: bytes) -> bytes:
        """The sealed value; another one each time, also for the same input."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._prefix() + nonce + self._aead.encrypt(nonce, plain, context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        """What was sealed; WrongKey if it was not sealed so, with this key and context."""
        if not blob.startswith(self._prefix()):
            raise WrongKey("it was encrypted with another key")
        nonce, sealed = blob[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES], blob[_HEAD_BYTES:]
        try:
            return self._aead.decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError):  # ValueError: cut off within the nonce
            raise WrongKey("it was altered, or belongs to something else") from None

    def check_value(self) -> bytes:
        """32 bytes by which the key can be known again, and nothing else."""
        return self._check

    def cursor_key(self) -> bytes:
        """What cursors of listings are sealed with, the same in every daemon of a database."""
        return self._cursors

    def matches(self, check_value: bytes) -> bool:
        return hmac.compare_digest(self._check, check_value)

    def _prefix(self) -> bytes:
        return _VERSION + self._check[:_ID_BYTES]


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, hashlib.sha256)


def new_key() -> str:
    """A fresh key as text: 64 hexadecimal characters."""
    return secrets.token_hex(KEY_BYTES)


def parse_key(text: str) -> bytes:
    """The 32 bytes of a key given in hexadecimal or base64; ValueError, without the text."""
    try:
        if len(text) == 2 * KEY_BYTES:
            return binascii.unhexlify(text)
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("must be 64 hexadecimal characters, or the base64 of 32 bytes") from None
    return key


def key_path(config: Config) -> Path:
    """The key file: `secrets.key_file`, else `secrets.key` in the state directory."""
    return config.secrets.key_file or config.state_directory() / KEY_FILE


def read_key(config: Config) -> bytes | None:
    """The configured key; None if there is none yet. ConfigError if it can not be used.

    A `secrets.key_file` that was named must exist; the one in the state directory need not.
    """
    if config.secrets.key:
        return parse_key(config.secrets.key.get_secret_value())
    path = key_path(config)
    try:
        return _read_key_file(path)
    except FileNotFoundError:
        if config.secrets.key_file is None:
            return None
        hint = "make one with: openssl rand -hex 32"
        raise ConfigError([f"secrets.key_file: {path} does not exist; {hint}"]) from None
    except OSError as error:
        raise ConfigError([f"secrets.key_file: {path}: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError([f"secrets.key_file: {path} {error}"]) from None


def _read_key_file(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise ValueError(f"is open to others (mode {mode:04o}): chmod 600 it")
        return parse_key(file.read(1024).decode("ascii", errors="replace").strip())


def write_new_key(path: Path) -> bytes:
    """Make a key and keep it in a new file of mode 0600; FileExistsError if there is one.

    The file appears whole and on disk, or not at all: half a key would be a lost one.
    """
    text = new_key()
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # An embedded server may come to live beside it, and as root's, another user's, must pass.
        path.parent.chmod(0o711)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
        os.link(unfinished, path)
    finally:
        unfinished.unlink()
    _sync_directory(path.parent)
    return parse_key(text)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
