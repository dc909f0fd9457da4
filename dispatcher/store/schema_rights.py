"""Who else may create what names are looked up as, and what of theirs our schema uses already."""

import asyncpg

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class SchemaRights:
    """Reads of the catalogue, for `dispatcher check`."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    async def creators(self) -> list[asyncpg.Record]:
        """Return `schema`, `who` and the `remedy` for each schema that others may create in."""
        return await self._asked.fetch(statement("schema_rights/creators"))

    async def foreign_parts(self) -> list[asyncpg.Record]:
        """Return `object` of ours and the function or operator of another schema that it `uses`."""
        return await self._asked.fetch(statement("schema_rights/foreign_parts"))
