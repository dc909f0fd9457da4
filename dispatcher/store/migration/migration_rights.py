"""The rights that migrating needs: ask for all of them before anything is applied."""

from dispatcher.store.migration.migration_files import ForbiddenSchemaError
from dispatcher.store.queries.server import Server
from dispatcher.store.session import Queryable


async def require(connection: Queryable) -> None:
    """Raise ForbiddenSchemaError with each right that the role lacks, and its remedy."""
    facts = await Server(connection).facts()
    if missing := facts.missing_rights():
        raise ForbiddenSchemaError("\n".join(missing))
