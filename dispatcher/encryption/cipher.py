"""Encrypt signing secrets, headers and credentials at rest; the key is not in the database.

An encrypted value is `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`,
AES-256-GCM. Its context (an endpoint's id, for example) is authenticated with it, so that a value
cannot be moved to another row. Each use of the key has its own derived key. So the check value in
the database reveals nothing about the key that encrypts.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dispatcher.config.secret_file import SecretFileMissingError, read_secret_file
from dispatcher.config.sections import Config, ConfigError

KEY_BYTES = 32
KEY_FILE = "secrets.key"

_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class WrongKeyError(Exception):
    """A value was encrypted with another key or for another context, or it was changed."""


class _Key:
    """The keys that are derived from one key of 32 bytes. Its `repr` shows nothing of the key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key must have {KEY_BYTES} bytes")
        self.aead = AESGCM(_derived(key, b"dispatcher/1/encrypt"))
        self.check = _derived(key, b"dispatcher/1/check")
        self.cursors = _derived(key, b"dispatcher/1/cursors")
        self.prefix = _VERSION + self.check[:_ID_BYTES]

    def __repr__(self) -> str:
        return "_Key()"


class Cipher:
    """A cipher with one key of 32 bytes, and a second one that only decrypts, while keys change.

    Its `repr` shows nothing of the keys.
    """

    def __init__(self, key: bytes, second: bytes | None = None) -> None:
        self._key = _Key(key)
        self._keys = (self._key,) if second is None else (self._key, _Key(second))

    def __repr__(self) -> str:
        return "Cipher()"

    def encrypt(self, plain: bytes, *, context: bytes) -> bytes:
        """Return the encrypted value; it differs each time, also for the same input."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._key.prefix + nonce + self._key.aead.encrypt(nonce, plain, context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        """Return the decrypted value.

        Raise WrongKeyError if it was not encrypted with one of the keys and this context.
        """
        key = next((key for key in self._keys if blob.startswith(key.prefix)), None)
        if key is None:
            raise WrongKeyError("it was encrypted with another key")
        nonce, sealed = blob[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES], blob[_HEAD_BYTES:]
        try:
            return key.aead.decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError):  # ValueError: the nonce is not complete
            raise WrongKeyError("it was altered, or belongs to something else") from None

    def is_current(self, blob: bytes) -> bool:
        """Return True if a value was encrypted with the first key, not with the second."""
        return blob.startswith(self._key.prefix)

    def check_value(self) -> bytes:
        """Return 32 bytes that identify the key and reveal nothing else."""
        return self._key.check

    def cursor_key(self) -> bytes:
        """Return the key for the cursors of listings, the same in every daemon of a database."""
        return self._key.cursors

    def matches(self, check_value: bytes) -> bool:
        """Return True if the check value is the first key's; the comparison takes constant time."""
        return hmac.compare_digest(self._key.check, check_value)

    def knows(self, check_value: bytes) -> bool:
        """Return True if the check value is that of the first or of the second key."""
        return any(hmac.compare_digest(key.check, check_value) for key in self._keys)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, hashlib.sha256)


def new_key() -> str:
    """Return a new key as text: 64 hexadecimal characters."""
    return secrets.token_hex(KEY_BYTES)


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key given in hexadecimal or base64.

    Raise ValueError, without the text, for anything else.
    """
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
    """Return the key file: `secrets.key_file`, else `secrets.key` in the state directory."""
    return config.secrets.key_file or config.state_directory() / KEY_FILE


def read_key(config: Config) -> bytes | None:
    """Return the configured key, None if there is none yet.

    A configured `secrets.key_file` must exist; the one in the state directory need not. Raise
    ConfigError if a key file cannot be used, and ValueError if `secrets.key` cannot be used.
    """
    if config.secrets.key:
        return parse_key(config.secrets.key.get_secret_value())
    path = key_path(config)
    try:
        return read_secret_file("secrets.key_file", path, parse_key)
    except SecretFileMissingError:
        if config.secrets.key_file is None:
            return None
        hint = "make one with: openssl rand -hex 32"
        raise ConfigError([f"secrets.key_file: {path} does not exist; {hint}"]) from None


def read_cipher(config: Config) -> Cipher | None:
    """Return the cipher of the configured keys, None if there is no first key yet.

    Raise what `read_key` raises, for the second key as well.
    """
    key = read_key(config)
    return None if key is None else Cipher(key, read_second_key(config))


def read_second_key(config: Config) -> bytes | None:
    """Return the key that only decrypts, None if none is configured. Raise as `read_key` does."""
    if config.secrets.second_key:
        return parse_key(config.secrets.second_key.get_secret_value())
    if config.secrets.second_key_file is None:
        return None
    return read_secret_file("secrets.second_key_file", config.secrets.second_key_file, parse_key)


def write_new_key(path: Path) -> bytes:
    """Write a new key to a new file of mode 0600, and return it.

    The file appears complete and synced to disk, or not at all: half a key would be a lost key.
    Raise FileExistsError if the file exists.
    """
    text = new_key()
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # An embedded server may keep its data beside it. Root's server runs as another user, and
        # otherwise it cannot enter the directory.
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
