"""Create, rename and list environments: the tenants, each with its own webhooks and events."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from dispatcher.config.sections import Limits
from dispatcher.core.errors import ConflictError
from dispatcher.core.pagination import DEFAULT_LIMIT, SEARCHED_LIMIT, Page
from dispatcher.services.audit import audit_changes
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.inputs.environment_inputs import EnvironmentChanges, NewEnvironment
from dispatcher.services.public_ids import no_environment
from dispatcher.store.queries import environments as stored
from dispatcher.store.session import Queryable

RANDOM_BYTES = 12


@dataclass(frozen=True, slots=True)
class Environment:
    """A tenant with its own webhooks and events.

    `paused_at` is since when nothing is sent for this environment, `all_paused_at` since when
    nothing is sent for any environment.
    """

    id: str
    name: str
    paused_at: datetime | None
    all_paused_at: datetime | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: stored.EnvironmentRow) -> "Environment":
        """Return the environment of its row."""
        return cls(
            row["id"], row["name"], row["paused_at"], row["all_paused_at"], row["created_at"]
        )


class Environments:
    """The environments. The methods also raise StoreError and StatementTimeoutError."""

    def __init__(
        self, session: Queryable, actor: Actor, *, limit: int = Limits().environments
    ) -> None:
        self._stored = stored.Environments(session)
        self._journal = Journal(session, actor)
        self._limit = limit

    async def create(self, form: NewEnvironment) -> Environment:
        """Create an environment. Call this in a transaction.

        Raise ConflictError if the id is taken or if there are too many environments. The limit is
        approximate: environments that are created at the same time are not counted.
        """
        if await self._stored.count(self._limit) >= self._limit:
            raise ConflictError(
                f"There are {self._limit} environments, the most that limits.environments allows."
            )
        id_ = form.id or f"env_{token_hex(RANDOM_BYTES)}"
        row = await self._stored.create(id_, form.name)
        if row is None:
            raise ConflictError(f"There is an environment {id_} already. Choose another id.")
        await self._journal.note("environment.create", id_, id_, name=form.name)
        return Environment.from_row(row)

    async def rename(self, environment_id: str, form: EnvironmentChanges) -> Environment:
        """Rename an environment.

        Call this in a transaction. Raise NotFoundError if there is none.
        """
        row = await self._stored.rename(environment_id, form.name)
        if row is None:
            raise no_environment(environment_id)
        if row["former_name"] != row["name"]:
            detail = audit_changes.detail(
                ["name"], {"name": row["former_name"]}, {"name": row["name"]}
            )
            await self._journal.note("environment.rename", environment_id, environment_id, **detail)
        return Environment.from_row(row)

    async def get(self, environment_id: str) -> Environment:
        """Return one environment. Raise NotFoundError if there is none."""
        row = await self._stored.get(environment_id)
        if row is None:
            raise no_environment(environment_id)
        return Environment.from_row(row)

    async def list(
        self, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Environment, int]:
        """Return environments, newest first."""
        rows = await self._stored.list(before=before, limit=limit + 1)
        return Page.of(rows, limit, make=Environment.from_row, key=lambda row: row["position"])

    async def names(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of environments by id. Unknown ids are left out."""
        if not ids:
            return {}
        return {row["id"]: row["name"] for row in await self._stored.names(set(ids))}

    async def search(self, text: str, *, limit: int) -> tuple[Environment, ...]:
        """Return environments whose id or name contains the text, the best match first."""
        rows = await self._stored.search(text, look=SEARCHED_LIMIT, limit=limit)
        return tuple(map(Environment.from_row, rows))
