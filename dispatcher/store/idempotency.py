"""What requests with an Idempotency-Key were answered, so that one repeated does nothing again."""

from dataclasses import dataclass

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement

EVERY = "*"
"""The environment of requests that concern all of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`new`: nobody has answered a request with this key, and whoever claimed it now must.

    Else what stands there: the fingerprint of the request, the status and the body of its answer.
    """

    new: bool
    fingerprint: bytes
    status: int | None
    body: bytes | None


class Answered:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def claim(self, environment_id: str, key: str, fingerprint: bytes) -> Answer:
        """In the transaction of the change. Waits for another one's with the same key to end; when
        that is undone, so is its claim."""
        while True:
            rows = await self._session.fetch(
                statement("idempotency/claim"), environment_id, key, fingerprint
            )
            if rows:
                return Answer(True, fingerprint, None, None)
            # A statement of its own, which sees what the other one has committed meanwhile.
            if there := await self.read(environment_id, key):
                return there

    async def read(self, environment_id: str, key: str) -> Answer | None:
        """None: no request with this key was answered."""
        rows = await self._session.fetch(statement("idempotency/read"), environment_id, key)
        return Answer(False, **rows[0]) if rows else None

    async def keep(self, environment_id: str, key: str, status: int, body: bytes | None) -> None:
        """In the transaction of the claim. `body` holds no secret."""
        await self._session.fetch(statement("idempotency/keep"), environment_id, key, status, body)

    async def prune(self, age: float, most: int) -> int:
        """Forget up to `most` older than `age` seconds; how many there were."""
        return len(await self._session.fetch(statement("idempotency/prune"), age, most))
