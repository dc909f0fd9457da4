"""The audit: who changed what, when, from where."""

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Audit:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def write(
        self,
        *,
        environment_id: str | None,
        actor: str,
        action: str,
        subject: str,
        detail: str,
        request_id: str | None,
        address: str | None,
    ) -> None:
        """In the transaction of the change, so that neither is without the other."""
        await self._session.fetch(
            statement("audit/write"),
            environment_id,
            actor,
            action,
            subject,
            detail,
            request_id,
            address,
        )
