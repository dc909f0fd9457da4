"""Make one attempt: read the event, sign it, POST it, and decide what follows from the answer."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from random import random

from dispatcher.core import outcome as outcomes
from dispatcher.core import recorded_headers
from dispatcher.core.model import (
    NO_TIMINGS,
    Delivery,
    Endpoint,
    Event,
    Outcome,
    Response,
    Result,
    SendError,
    Sent,
)
from dispatcher.core.request_headers import Request, RequestBuilder
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.lease import Lease
from dispatcher.engine.sending.body_cache import BodyCache, UnreadableEventError
from dispatcher.engine.sending.endpoint_health import EndpointHealth
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.errors import StatementTimeoutError, StoreError
from dispatcher.telemetry import observe
from dispatcher.transport.access_tokens import AccessTokens
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender

DISABLING_SECONDS = 5.0
"""Rest of an endpoint that is being disabled. Otherwise sending would continue until the change
is written and read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRunner:
    """Makes attempts, and passes each result to the recorder.

    `timeout` is the limit of one attempt in seconds, for endpoints without their own.
    """

    buffer: DeliveryBuffer
    queues: EndpointQueues
    lease: Lease
    endpoints: EndpointCache
    bodies: BodyCache
    requests: RequestBuilder
    sender: Sender
    tokens: AccessTokens
    recorder: Recorder
    health: EndpointHealth
    clock: Clock
    timeout: float

    async def run(self, delivery: Delivery) -> None:
        """Make one attempt; give the delivery back if the attempt cannot or may not start.

        An unexpected error is recorded as the outcome. Otherwise it would end the worker, and
        with it the daemon.
        """
        try:
            event = self.bodies.get(
                delivery.event_id, delivery.endpoint_id
            ) or await self._read_event(delivery)
            if event is None or not self._still_may_start(delivery):
                self.buffer.give_back(delivery)
                return
            if isinstance(event, Outcome):
                result, seconds = self._unsent(delivery, event), None
            else:
                result, seconds = await self._send(delivery, event)
        except Exception as error:  # noqa: BLE001 - one broken attempt must not stop the others
            observe.deliveries.attempt_broke(delivery, error)
            result, seconds = self._unsent(delivery, outcomes.broken_attempt(delivery, error)), None
        is_awaited = self.queues.is_ordered(delivery.endpoint_id)
        self.recorder.put(result, is_awaited=is_awaited)
        self.buffer.finish_attempt(delivery, seconds)

    async def _read_event(self, delivery: Delivery) -> Event | Outcome | None:
        """Return the event, or None if it cannot be read now.

        Return the final outcome if it is gone or cannot be decoded.
        """
        try:
            event = await self.bodies.read(delivery.event_id, delivery.endpoint_id)
        except (StoreError, StatementTimeoutError):
            return None
        except UnreadableEventError as error:
            observe.deliveries.event_unreadable(delivery, error)
            return outcomes.unreadable_event(str(error))
        return event or outcomes.missing_event()

    def _still_may_start(self, delivery: Delivery) -> bool:
        """Return False if the shard was lost, or sending stopped, since the delivery was taken."""
        return self.lease.covers(delivery.shard) and self.endpoints[delivery.endpoint_id].may_send

    async def _send(self, delivery: Delivery, event: Event) -> tuple[Result, float | None]:
        """Return the result of the request, and how many seconds it took.

        The latter is None after an error of ours, which says nothing about the endpoint.
        """
        endpoint = self.endpoints[delivery.endpoint_id]
        started_at = self.clock.now()
        sent: Sent | None = None
        seconds: float | None = None
        try:
            # Receivers compare the signature's time with their own clocks, not the database's.
            request = self.requests.build(delivery, endpoint, event, time.time(), started_at)
            sent = request.sent
            answer = await self._post(endpoint, request, event.body)
            seconds = answer.duration
        except Exception as error:  # noqa: BLE001 - an error of ours is retried on schedule
            observe.deliveries.attempt_broke(delivery, error)
            answer = SendError("protocol", f"internal error: {type(error).__name__}", 0.0)
        outcome = outcomes.decide(
            answer,
            attempt=delivery.attempts_of_schedule + 1,
            policy=self.endpoints.policy(endpoint),
            now=started_at + answer.duration,
            chance=random(),  # noqa: S311 - jitter, not a secret
        )
        try:
            self._apply(endpoint, outcome)
        except Exception as error:  # noqa: BLE001 - otherwise an event that was received is sent again
            observe.deliveries.outcome_not_applied(delivery, error)
        result = result_of(delivery, outcome, started_at, sent, answer)
        return result, seconds

    def _post(
        self, endpoint: Endpoint, request: Request, body: bytes
    ) -> Awaitable[Response | SendError]:
        """Return an awaitable that sends the request, with an access token if one is needed."""
        post = Post(  # by position: names would take longer
            endpoint.url,
            request.fixed,
            body,
            endpoint.timeout or self.timeout,
            endpoint.environment_id,
            request.names,
            request.values,
            endpoint.tls,
        )
        if endpoint.oauth2 is not None:
            return self.tokens.post(endpoint.oauth2, endpoint.id, post)
        return self.sender.post(post)

    def _apply(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """Apply the outcome to the endpoint: let its queue rest, and note whether it works."""
        rest = DISABLING_SECONDS if outcome.disable else outcome.rest
        if rest:
            self.queues.rest(endpoint.id, self.clock.now() + rest)
        self.health.note(endpoint, outcome)

    def _unsent(self, delivery: Delivery, outcome: Outcome) -> Result:
        return result_of(delivery, outcome, self.clock.now(), None, None)


def result_of(
    delivery: Delivery,
    outcome: Outcome,
    started_at: float,
    sent: Sent | None,
    answer: Response | SendError | None,
) -> Result:
    """Return the result to record; `answer` is None if no request was made."""
    status = response_headers = body = None
    duration_ms, timings = 0, NO_TIMINGS
    if answer is not None:
        duration_ms, timings = round(answer.duration * 1000), answer.timings
    if isinstance(answer, Response):
        status, body = answer.status, answer.body
        response_headers = recorded_headers.write(answer.headers)
    return Result(  # by position: names would take three times as long
        delivery,
        outcome,
        started_at,
        status,
        duration_ms,
        sent,
        response_headers,
        body,
        timings,
    )
