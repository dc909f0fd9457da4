"""Which key encrypts this database's secrets: never another, and never a new one beside it."""

from dispatcher import crypto
from dispatcher.config import Config, ConfigError
from dispatcher.crypto import Cipher
from dispatcher.store.settings import Settings


class KeyRefused(Exception):
    """The database's secrets belong to another key, or to one we do not have."""


async def unlock(config: Config, settings: Settings) -> Cipher:
    """The cipher for this database, whose key is made now if neither has one.

    Raises KeyRefused, and ConfigError for a key or key file that can not be used; nothing was
    written then.
    """
    try:
        key = crypto.read_key(config)
    except (ValueError, OSError) as error:
        raise ConfigError([f"secrets: {error}"]) from None
    stored = (await settings.read()).key_check
    if key is None:
        if stored is not None:
            raise KeyRefused(
                "the database's secrets are encrypted with a key this configuration does not have: "
                "set secrets.key or secrets.key_file to it"
            )
        key = crypto.write_new_key(crypto.key_path(config))
    cipher = Cipher(key)
    if stored is None:
        stored = await settings.claim_key(cipher.check_value())
    if not cipher.matches(stored):
        raise KeyRefused(
            "secrets.key is not the key this database's secrets are encrypted with: nothing was changed"
        )
    return cipher
