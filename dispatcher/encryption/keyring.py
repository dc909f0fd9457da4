"""Which key encrypts this database's secrets: never another, and never a new one beside it."""

from dispatcher.config.sections import Config, ConfigError
from dispatcher.encryption import cipher as cipher_module
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.settings import Settings


class KeyRefused(Exception):
    """The database's secrets belong to another key, or to one we do not have."""


async def unlock(config: Config, settings: Settings) -> Cipher:
    """The cipher for this database, whose key is made now if neither has one.

    Raises KeyRefused, and ConfigError for a key or key file that can not be used; nothing was
    written then.
    """
    stored = (await settings.read()).key_check
    key = _read(config)  # second: whoever makes the first keeps it before the database knows it
    if key is None:
        return await _first(config, settings, stored)
    cipher = Cipher(key)
    if stored is None:
        stored = await settings.claim_key(cipher.check_value())
    if not cipher.matches(stored):
        raise KeyRefused(
            "secrets.key is not the key this database's secrets are encrypted with: nothing was changed"
        )
    return cipher


async def _first(config: Config, settings: Settings, stored: bytes | None) -> Cipher:
    """A new key, unless the database has one. Others may be starting for the first time as well."""
    path = cipher_module.key_path(config)
    if stored is None:
        try:
            cipher = Cipher(cipher_module.write_new_key(path))
        except FileExistsError:  # by another process on this machine, just now
            return await unlock(config, settings)
        if cipher.matches(await settings.claim_key(cipher.check_value())):
            return cipher
        path.unlink()  # a machine with a state directory of its own was quicker
    raise KeyRefused(
        "the database's secrets are encrypted with a key this configuration does not have: "
        "set secrets.key or secrets.key_file to it"
    )


def _read(config: Config) -> bytes | None:
    try:
        return cipher_module.read_key(config)
    except (ValueError, OSError) as error:
        raise ConfigError([f"secrets: {error}"]) from None
