"""Find other roles' rights and objects that could change the meaning of our statements."""

import asyncpg

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class SchemaRights:
    """Reads of PostgreSQL's catalog, for `dispatcher check`."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def creators(self) -> list[asyncpg.Record]:
        """Return `schema`, `role` and `remedy` for each schema in which other roles may create."""
        return await self._session.fetch(statement("schema_rights/creators"))

    async def foreign_parts(self) -> list[asyncpg.Record]:
        """Return each `object` of ours that `uses` a function or operator of another schema."""
        return await self._session.fetch(statement("schema_rights/foreign_parts"))
