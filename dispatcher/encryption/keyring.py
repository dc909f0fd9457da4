"""Choose the key for this database's secrets: never another one, never a second new one."""

from dispatcher.config.sections import Config, ConfigError
from dispatcher.encryption import cipher as cipher_module
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.queries.settings import Settings


class KeyRejectedError(Exception):
    """The database's secrets are encrypted with another key, or with one that is not configured."""


async def unlock(config: Config, settings: Settings) -> Cipher:
    """Return the cipher for this database. Create a key if database and configuration have none.

    Raise KeyRejectedError, and ConfigError for a key or key file that cannot be used. Nothing is
    written then. Raise OSError if the file of a new key cannot be written.
    """
    stored = (await settings.read()).key_check
    # Read the key after the database's check value: a new key is in its file before the database
    # knows it. Otherwise another process's new key could look missing.
    cipher = read(config)
    if cipher is None:
        return await _first(config, settings, stored)
    if stored is None:
        stored = await settings.claim_key(cipher.check_value())
    if not cipher.knows(stored):
        raise wrong_key(config)
    return cipher


async def _first(config: Config, settings: Settings, stored: bytes | None) -> Cipher:
    """Return the cipher of a new key, unless the database has a key already.

    Other processes may start for the first time at the same time.
    """
    path = cipher_module.key_path(config)
    if stored is None:
        try:
            cipher = Cipher(cipher_module.write_new_key(path))
        except FileExistsError:  # another process on this machine has just created it
            return await unlock(config, settings)
        if cipher.matches(await settings.claim_key(cipher.check_value())):
            return cipher
        path.unlink()  # another machine, with its own state directory, was quicker
    raise missing_key()


def missing_key() -> KeyRejectedError:
    """Return the error for a database whose key is not configured."""
    return KeyRejectedError(
        "the database's secrets are encrypted with a key this configuration does not have: "
        "set secrets.key or secrets.key_file to it"
    )


def wrong_key(config: Config) -> KeyRejectedError:
    """Return the error for a configured key that is not the database's. It names the key's file."""
    configured = config.secrets.key
    name = "secrets.key" if configured else f"the key in {cipher_module.key_path(config)}"
    return KeyRejectedError(
        f"{name} is not the key this database's secrets are encrypted with, and nothing was"
        " changed: configure the other key in its place, or both if you are changing keys, one as"
        " secrets.second_key_file"
    )


def read(config: Config) -> Cipher | None:
    """Return the cipher of the configured keys, None if there is none yet. Raise ConfigError."""
    try:
        return cipher_module.read_cipher(config)
    except (ValueError, OSError) as error:
        raise ConfigError([f"secrets: {error}"]) from None
