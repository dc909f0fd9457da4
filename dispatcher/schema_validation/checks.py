"""The schema checks that API requests ask for: one worker process and its queue.

All environments share them. The engine checks events in another process, so that uploads of schemas
cannot hold up sending.
"""

from dispatcher.schema_validation.validate import Rejection
from dispatcher.schema_validation.worker import Sandbox
from dispatcher.shared_slots import BusyError, SharedSlots

WAITING_LIMIT = 32
"""Most checks in the queue of the worker: of all environments together."""
WAITING_OF_ONE_LIMIT = 8
"""Most checks of one environment in that queue."""
WAIT_SECONDS = 10.0
"""Longest wait in the queue: enough for a rest of the environment and for a few checks of
others."""
REST_FACTOR = 8.0
"""After a check, the environment rests for this multiple of the check's processor time.

Even a process that runs only while nothing else needs the processor makes others wait for some
milliseconds, now and then. So costly schemas of one environment may keep it busy for a part of the
time only.
"""
REST_SECONDS = 5.0
"""Longest such rest: less than WAIT_SECONDS, or the environment's other checks would all be
refused."""


class SchemaChecksBusyError(Exception):
    """Too many schema checks are waiting. Nothing was changed; the same request may be repeated."""


class SchemaChecks:
    """The queue and the worker process. The first check starts the process; `close` ends it."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._sandbox = Sandbox(is_idle=True)
        self._slots = SharedSlots(
            1,
            slots_of_one=1,
            waiting=WAITING_LIMIT,
            waiting_of_one=WAITING_OF_ONE_LIMIT,
            wait_seconds=wait_seconds,
        )

    async def validate(
        self, environment_id: str, schema: str, data: str | None = None
    ) -> Rejection | None:
        """Check as `validate.validate` does, when it is the environment's turn.

        Raise SchemaChecksBusyError, and SandboxUnavailableError if the process cannot be started
        or gets no time on the processor.
        """
        try:
            async with self._slots.hold(environment_id) as hold:
                rejection = await self._sandbox.validate(schema, data)
                hold.rest_seconds = min(REST_FACTOR * self._sandbox.used_seconds, REST_SECONDS)
                return rejection
        except BusyError:
            raise SchemaChecksBusyError("too many schemas wait to be checked") from None

    async def close(self) -> None:
        """End the worker process."""
        await self._sandbox.close()
