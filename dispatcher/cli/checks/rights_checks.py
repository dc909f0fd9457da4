"""The warnings of `dispatcher check` about the rights of other roles in the database."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.store.session import Queryable


async def warnings(session: "Queryable") -> list[str]:
    """Return a warning for each right that a role could use against users of the schema."""
    from dispatcher.store.queries.schema_rights import SchemaRights

    rights = SchemaRights(session)
    return [
        *(_creator(row["schema"], row["role"], row["remedy"]) for row in await rights.creators()),
        *(_foreign(row["object"], row["uses"]) for row in await rights.foreign_parts()),
    ]


def _creator(schema: str, role: str, remedy: str) -> str:
    return (
        f'{role} may create objects in schema "{schema}". The daemon does not look there, but'
        " people with psql do, and would run what was made there with their own rights. Emitting"
        f" does not need this right: {remedy}"
    )


def _foreign(ours: str, uses: str) -> str:
    return (
        f"{ours} of schema dispatcher uses {uses}, which is not PostgreSQL's own. If you did"
        " not add it, another role made it before the database was migrated: look at it before you"
        " start the daemon"
    )
