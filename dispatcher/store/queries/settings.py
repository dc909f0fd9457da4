"""Read and write the row of settings that the database itself needs."""

from dataclasses import dataclass

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """The stored settings: the most bytes of an event's data, and the check value of the key."""

    max_data: int
    key_check: bytes | None


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting that was changed: its key in the configuration, its former and its new value."""

    key: str
    former: int | bool
    new: int | bool


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The server's limits: the locks of all transactions together, and prepared transactions."""

    locks: int
    prepared: int


class Settings:
    """The row of settings, and settings of a transaction."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def read(self) -> StoredSettings:
        """Return the stored settings."""
        row = (await self._session.fetch(statement("settings/read")))[0]
        return StoredSettings(row["max_data"], row["key_check"])

    async def force_custom_plans(self) -> None:
        """Plan each statement with its values, for the rest of the transaction.

        Otherwise the engine's sessions, which keep one plan a statement, lock all partitions.
        """
        await self._session.fetch(statement("settings/force_custom_plans"))

    async def limit_statement_time(self, milliseconds: int) -> None:
        """Limit each further statement of this transaction to this time."""
        await self._session.fetch(statement("settings/limit_statement_time"), milliseconds)

    async def write_limits(self, max_data: int, *, notify: bool = True) -> list[SettingChange]:
        """Write what producers need: the most bytes of `data`, and whether to notify.

        Return the settings that had another value.
        """
        rows = await self._session.fetch(statement("settings/write_limits"), max_data, notify)
        changes = [
            change
            for row in rows
            for change in (
                SettingChange("delivery.max_data", row["max_data"], max_data),
                SettingChange("database.notify", row["notify"], notify),
            )
        ]
        return [change for change in changes if change.former != change.new]

    async def refresh_fast_path(self) -> None:
        """Let producers take the fast path of an INSERT if no schema is enforced, and only then.

        A concurrent change to what decides it leaves them on the slow path.
        """
        await self._session.fetch(statement("settings/refresh_fast_path"))

    async def server_limits(self) -> ServerLimits:
        """Return the server's limits of locks and prepared transactions."""
        row = (await self._session.fetch(statement("settings/server_limits")))[0]
        return ServerLimits(row["locks"], row["prepared"])

    async def replace_key(self, check_value: bytes, former: bytes) -> bool:
        """Store the check value of a new key.

        Return False if the stored one is neither of these.
        """
        rows = await self._session.fetch(statement("settings/replace_key"), check_value, former)
        return bool(rows)

    async def claim_key(self, check_value: bytes) -> bytes:
        """Store the check value of the key, unless the database has one. Return the stored value.

        If it differs from `check_value`, the database belongs to another key.
        """
        rows = await self._session.fetch(statement("settings/claim_key"), check_value)
        stored: bytes = rows[0]["key_check"]
        return stored
