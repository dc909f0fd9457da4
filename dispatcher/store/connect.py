"""Opening a connection to the database, for the daemon, `migrate` and every command alike."""

from collections.abc import Mapping
from typing import Any

import asyncpg


class AddressError(ValueError):
    """The address of the database cannot be used. The message never repeats the address."""


class ConnectError(Exception):
    """The database did not let us in, or did not answer."""


async def connect(
    dsn: str, *, settings: Mapping[str, str], timeout_seconds: float
) -> "asyncpg.Connection[Any]":
    """Return an open connection to the primary server of `dsn`, with `settings` in force.

    Raises AddressError for an address that cannot be read, and ConnectError for a server that
    cannot be reached within `timeout_seconds` or refuses the connection.
    """
    try:
        return await asyncpg.connect(
            dsn,
            timeout=timeout_seconds,
            server_settings=dict(settings),
            target_session_attrs=asyncpg.connect_utils.SessionAttribute.primary,
        )
    except ValueError:  # its text may hold the password
        raise AddressError("database.dsn: is not an address that can be read") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConnectError(str(error) or "it does not answer") from error
