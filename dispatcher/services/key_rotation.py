"""Encrypt all stored secrets again with another key, a few webhooks at a time.

Daemons go on at the same time: they decrypt with both keys. Each step is a transaction of its own.
After a crash, starting again skips what is encrypted with the new key already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from dispatcher.core.errors import ConflictError
from dispatcher.encryption.cipher import Cipher, WrongKeyError
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.sealed_values import SealedValues, SealedValuesRow
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Queryable, Session

STEP_LIMIT_WEBHOOKS: Final = 100
"""Webhooks of one step. Other changes of webhooks wait for it, a few milliseconds."""
PASS_LIMIT: Final = 10
"""Most rounds through all webhooks. A round that changes nothing is the last one."""
_COLUMNS: Final = {
    "secret": "signing secret",
    "previous_secret": "previous signing secret",
    "headers": "headers",
    "authentication_sealed": "credentials",
    "tls_sealed": "TLS identity",
}
"""The encrypted columns, and what people call them."""

Unreadable = Mapping[UUID, tuple[str, ...]]
"""Webhooks with what people call their values that neither key decrypts."""


@dataclass(slots=True)
class Rotation:
    """What was done: webhooks read, values encrypted again, and values left as they are.

    Those of `unreadable` are left. Deleted webhooks are not among them: none of their values is
    used again.
    """

    webhooks: int = 0
    values: int = 0
    unreadable: Unreadable = field(default_factory=dict)


class KeyRotation:
    """The change of the key. The methods raise StoreError and StatementTimeoutError.

    `cipher` has the new key, and the current key of the database as its second key.
    """

    def __init__(self, session: Session, actor: Actor, cipher: Cipher) -> None:
        self._session = session
        self._actor = actor
        self._cipher = cipher

    async def run(self) -> Rotation:
        """Encrypt all values with the new key, and make it the key of the database.

        Raise ConflictError if the database got a third key during the run, or if other processes
        still encrypt new values with the old key after PASS_LIMIT rounds.
        """
        done = Rotation()
        for _ in range(PASS_LIMIT):
            before = done.values
            await self._pass(done)
            if done.values == before:
                await self._finish(done)
                return done
        raise ConflictError(
            "Webhooks are still being encrypted with the second key. Give every daemon"
            " the new key as its first one, restart it, and run this again."
        )

    async def _pass(self, done: Rotation) -> None:
        """Read all webhooks once, and encrypt again what needs it."""
        after = UUID(int=0)
        unreadable: dict[UUID, tuple[str, ...]] = {}
        done.webhooks = 0
        while True:
            async with self._session.transaction() as opened:
                rows = await self._step(opened, after, done, unreadable)
            done.webhooks += len(rows)
            if len(rows) < STEP_LIMIT_WEBHOOKS:
                break
            after = rows[-1]["id"]
        done.unreadable = unreadable

    async def _step(
        self,
        session: Queryable,
        after: UUID,
        done: Rotation,
        unreadable: dict[UUID, tuple[str, ...]],
    ) -> list[SealedValuesRow]:
        await Endpoints(session).next_version()  # no other change of webhooks until the commit
        values = SealedValues(session)
        rows = list(await values.list(after, STEP_LIMIT_WEBHOOKS))
        changed: list[SealedValuesRow] = []
        for row in rows:
            again, number, left = self._again(row)
            if left and not row["is_deleted"]:
                unreadable[row["id"]] = left
            if number:
                changed.append(again)
                done.values += number
        if changed:
            await values.replace(changed)
        return rows

    def _again(self, row: SealedValuesRow) -> tuple[SealedValuesRow, int, tuple[str, ...]]:
        """Return the row with the new key, how many values changed, and the unreadable ones."""
        again, number, unreadable = row.copy(), 0, []
        for name, called in _COLUMNS.items():
            sealed: bytes | None = row[name]  # type: ignore[literal-required] # each is a column
            if sealed is None or self._cipher.is_current(sealed):
                continue
            context = row["id"].bytes
            try:
                plain = self._cipher.decrypt(sealed, context=context)
            except WrongKeyError:
                unreadable.append(called)
            else:
                again[name] = self._cipher.encrypt(plain, context=context)  # type: ignore[literal-required] # as above
                number += 1
        return again, number, tuple(unreadable)

    async def _finish(self, done: Rotation) -> None:
        """Make the new key the one that the database accepts."""
        async with self._session.transaction() as opened:
            settings = Settings(opened)
            former = (await settings.read()).key_check
            check = self._cipher.check_value()
            is_known = former is not None and self._cipher.knows(former)
            if former is None or not is_known or not await settings.replace_key(check, former):
                raise ConflictError("The database has another key by now. It was not changed.")
            if former != check or done.values:
                await Journal(opened, self._actor).note(
                    "key.rotate", "*", None, values=done.values, unreadable=len(done.unreadable)
                )
