"""Read and replace the encrypted values of endpoints, when the key changes."""

from collections.abc import Sequence
from typing import TypedDict
from uuid import UUID

from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class SealedValuesRow(TypedDict):
    """The encrypted values of an endpoint. All but the secret may be None."""

    id: UUID
    secret: bytes
    previous_secret: bytes | None
    headers: bytes | None
    authentication_sealed: bytes | None
    tls_sealed: bytes | None
    is_deleted: bool


class SealedValues:
    """The encrypted values of all endpoints."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def list(self, after: UUID, limit: int) -> Sequence[SealedValuesRow]:
        """Return the values of at most `limit` endpoints with ids after this one, by id."""
        rows = await self._session.fetch(statement("sealed_values/list"), after, limit)
        return all_rows(SealedValuesRow, rows)

    async def replace(self, rows: Sequence[SealedValuesRow]) -> None:
        """Replace the values of these endpoints.

        Call this in the transaction that read them, after `Endpoints.next_version`. Otherwise a
        change by people could be lost.
        """
        await self._session.fetch(
            statement("sealed_values/replace"),
            [row["id"] for row in rows],
            [row["secret"] for row in rows],
            [row["previous_secret"] for row in rows],
            [row["headers"] for row in rows],
            [row["authentication_sealed"] for row in rows],
            [row["tls_sealed"] for row in rows],
        )
