"""Make one attempt: read the event, sign it, POST it, and decide what follows from the answer."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from random import random
from typing import NamedTuple

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
from dispatcher.engine.body_cache import BodyCache, UnreadableEventError
from dispatcher.engine.clock import Clock
from dispatcher.engine.delivery_buffer import DeliveryBuffer
from dispatcher.engine.endpoint_cache import EndpointCache
from dispatcher.engine.endpoint_health import EndpointHealth
from dispatcher.engine.endpoint_queues import EndpointQueues
from dispatcher.engine.lease import Lease
from dispatcher.engine.recorder import Recorder
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError
from dispatcher.telemetry import observe
from dispatcher.transport.access_tokens import AccessTokens, Post
from dispatcher.transport.sender import Sender

DISABLING_SECONDS = 5.0
"""Pause of an endpoint that is being disabled. Otherwise sending would continue until the change
is written and read back."""


class Attempt(NamedTuple):
    """A finished attempt. `seconds` is its duration, None if no request was made."""

    result: Result
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRunner:
    """A maker of attempts, which passes each result to the recorder.

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
            attempt = await self._attempt(delivery)
        except Exception as error:  # noqa: BLE001 - one broken attempt must not stop the others
            observe.deliveries.attempt_broke(delivery, error)
            attempt = self._unsent(delivery, outcomes.broken_attempt(delivery, error))
        if attempt is None:
            self.buffer.give_back(delivery)
        else:
            self.recorder.put(attempt.result)
            self.buffer.finish_attempt(delivery, attempt.seconds)

    async def _attempt(self, delivery: Delivery) -> Attempt | None:
        """Return the finished attempt, None if it did not start."""
        next_events = self.queues.next_events(delivery.endpoint_id)
        try:
            event = self.bodies.get(delivery.event_id, next_events)
            if event is None:
                event = await self.bodies.read(delivery.event_id, next_events)
        except (StoreUnavailableError, StatementTimeoutError):
            return None
        except UnreadableEventError as error:
            observe.deliveries.event_unreadable(delivery, error)
            return self._unsent(delivery, outcomes.unreadable_event(str(error)))
        if event is None:
            return self._unsent(delivery, outcomes.missing_event())
        # The lease or the endpoint may have changed while the body was read.
        endpoint = self.endpoints[delivery.endpoint_id]
        if not self.lease.covers(delivery.shard) or not endpoint.active:
            return None
        return await self._send(delivery, endpoint, event)

    async def _send(self, delivery: Delivery, endpoint: Endpoint, event: Event) -> Attempt:
        started_at = self.clock.now()
        sent: Sent | None = None
        try:
            # Receivers compare the signature's time with their own clocks, not the database's.
            request = self.requests.build(delivery, endpoint, event, time.time(), started_at)
            sent = request.sent
            answer = await self._post(endpoint, request, event.body)
        except Exception as error:  # noqa: BLE001 - an error of ours is retried on schedule
            observe.deliveries.attempt_broke(delivery, error)
            answer = SendError("protocol", f"internal error: {type(error).__name__}", 0.0)
        outcome = self._decide(delivery, endpoint, answer)
        try:
            self._apply(delivery, endpoint, event, outcome)
        except Exception as error:  # noqa: BLE001 - otherwise an event that was received is sent again
            observe.deliveries.outcome_not_applied(delivery, error)
        return Attempt(result_of(delivery, outcome, started_at, sent, answer), answer.duration)

    def _post(
        self, endpoint: Endpoint, request: Request, body: bytes
    ) -> Awaitable[Response | SendError]:
        """Return the running request, with an access token if the endpoint wants one."""
        timeout = endpoint.timeout or self.timeout
        environment_id, names, values = endpoint.environment_id, request.names, request.values
        url, headers, tls = endpoint.url, request.fixed, endpoint.tls
        if endpoint.oauth2 is not None:
            post = Post(url, headers, body, timeout, environment_id, names, values, tls)
            return self.tokens.post(endpoint.oauth2, endpoint.id, post)
        return self.sender.post(
            url,
            headers,
            body,
            timeout=timeout,
            environment_id=environment_id,
            names=names,
            values=values,
            tls=tls,
        )

    def _decide(
        self, delivery: Delivery, endpoint: Endpoint, answer: Response | SendError
    ) -> Outcome:
        return outcomes.decide(
            answer,
            attempt=delivery.attempt - delivery.base + 1,
            policy=self.endpoints.policy(endpoint),
            now=self.clock.now(),
            chance=random(),  # noqa: S311 - jitter, not a secret
        )

    def _apply(
        self, delivery: Delivery, endpoint: Endpoint, event: Event, outcome: Outcome
    ) -> None:
        """Apply the outcome to the endpoint: pause its queue, and note whether it works."""
        pause = DISABLING_SECONDS if outcome.disable else outcome.pause
        if pause:
            self.queues.pause(endpoint.id, self.clock.now() + pause)
        self.health.note(endpoint, delivery, event.type, outcome)

    def _unsent(self, delivery: Delivery, outcome: Outcome) -> Attempt:
        return Attempt(result_of(delivery, outcome, self.clock.now(), None, None))


def result_of(
    delivery: Delivery,
    outcome: Outcome,
    started_at: float,
    sent: Sent | None,
    answer: Response | SendError | None,
) -> Result:
    """Return the row of an attempt; `answer` is None if no request was made."""
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
