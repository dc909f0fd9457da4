"""The schema checks that people ask for: one worker process for all environments, and its queue.

The engine's own checks of events have another process, so that uploads cannot hold up sending.
"""

from dispatcher.schema_validation.validate import Refusal
from dispatcher.schema_validation.worker import Sandbox
from dispatcher.store.fair_slots import BusyError, FairSlots

WAITING = 32
WAITING_OF_ONE = 8
"""Checks that may wait for the worker: all together, and those of one environment."""
WAIT_SECONDS = 10.0
"""A check may take a second of processor time and a new process: a few of them fit into this."""
NICENESS = 10
"""The worker gives way to the daemon where they share a processor."""


class SchemaChecksBusyError(Exception):
    """Too many schemas wait to be checked. Nothing was changed; the same request may be repeated."""


class SchemaChecks:
    """Close it at the end. The first check starts the process."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._sandbox = Sandbox(niceness=NICENESS)
        self._slots = FairSlots(
            1, share=1, waiting=WAITING, waiting_of_one=WAITING_OF_ONE, wait_seconds=wait_seconds
        )

    async def judge(
        self, environment_id: str, schema: str, data: str | None = None
    ) -> Refusal | None:
        """Check as `schemas.judge` does, once it is the environment's turn.

        Raises SchemaChecksBusyError, and SandboxUnavailable when the process cannot be started.
        """
        try:
            async with self._slots.held(environment_id):
                return await self._sandbox.judge(schema, data)
        except BusyError:
            raise SchemaChecksBusyError("too many schemas wait to be checked") from None

    async def close(self) -> None:
        """End the process."""
        await self._sandbox.close()
