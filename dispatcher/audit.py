"""Who changed what: written by the service layer in the transaction of each change."""

from dataclasses import dataclass

import orjson

from dispatcher.store.audit import Audit
from dispatcher.store.session import Asked


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: `token:<id>`, `cli:<user>` or `dispatcher`; and which request, from where."""

    name: str
    request_id: str | None = None
    address: str | None = None


class Journal:
    """What one actor does in one transaction."""

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._audit = Audit(session)
        self._actor = actor

    async def note(
        self, action: str, subject: str, environment_id: str | None, **detail: object
    ) -> None:
        """`action` is `<noun>.<verb>`, `subject` the id; `detail` is what changed, never a secret."""
        await self._audit.write(
            environment_id=environment_id,
            actor=self._actor.name,
            action=action,
            subject=subject,
            detail=orjson.dumps(detail, default=str).decode(),
            request_id=self._actor.request_id,
            address=self._actor.address,
        )
