"""One attempt: whether it starts, what is recorded, and what is given back."""

from uuid import UUID

import pytest

from dispatcher.core.model import Delivery, Endpoint, Event, Outcome, Response, Result, SendError
from dispatcher.core.outcome import broken_attempt, missing_event
from dispatcher.engine.clock import Clock
from dispatcher.engine.sending.attempt import DISABLING_SECONDS, AttemptRunner, result_of
from dispatcher.engine.sending.body_cache import UnreadableEventError
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError
from tests.core.test_outcome import POLICY
from tests.core.test_request_headers import DELIVERY, ENDPOINT, EVENT, REQUESTS

OK = Response(200, (("A", "b"),), b"body", False, 0.25)
NOW = 1000.0


class World:
    """Everything around one attempt; what it gets is `event` and `answer`, or an error."""

    def __init__(
        self,
        event: Event | Exception | None = EVENT,
        answer: Response | SendError | Exception = OK,
        *,
        is_covered: bool = True,
        health_error: Exception | None = None,
    ) -> None:
        self.event, self.answer, self.is_covered = event, answer, is_covered
        self.health_error = health_error
        self.given_back: list[Delivery] = []
        self.finished: list[float | None] = []
        self.results: list[Result] = []
        self.rests: list[tuple[UUID, float]] = []
        self.noted: list[Outcome] = []
        clock = Clock(lambda: 0.0)
        clock.set(NOW, 0.0)
        self.runner = AttemptRunner(
            buffer=self,  # type: ignore[arg-type] # as much of each as an attempt uses
            queues=self,  # type: ignore[arg-type]
            lease=self,  # type: ignore[arg-type]
            endpoints=self,  # type: ignore[arg-type]
            bodies=self,  # type: ignore[arg-type]
            requests=REQUESTS,
            sender=self,  # type: ignore[arg-type]
            tokens=self,  # type: ignore[arg-type]
            recorder=self,  # type: ignore[arg-type]
            health=self,  # type: ignore[arg-type]
            clock=clock,
            timeout=5.0,
        )

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return ENDPOINT

    def policy(self, endpoint: Endpoint) -> object:
        return POLICY

    def covers(self, shard: int) -> bool:
        return self.is_covered

    def is_ordered(self, endpoint_id: UUID) -> bool:
        return False

    def rest(self, endpoint_id: UUID, until: float) -> None:
        self.rests.append((endpoint_id, until))

    def give_back(self, delivery: Delivery) -> None:
        self.given_back.append(delivery)

    def finish_attempt(self, delivery: Delivery, seconds: float | None) -> None:
        self.finished.append(seconds)

    def put(self, result: Result, *, is_awaited: bool) -> None:
        self.results.append(result)

    def note(self, endpoint: Endpoint, outcome: Outcome) -> None:
        if self.health_error:
            raise self.health_error
        self.noted.append(outcome)

    def get(self, event_id: int, endpoint_id: UUID) -> None:
        return None

    async def read(self, event_id: int, endpoint_id: UUID) -> Event | None:
        if isinstance(self.event, Exception):
            raise self.event
        return self.event

    async def post(self, *_: object, **__: object) -> Response | SendError:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def run(world: World) -> Result:
    await world.runner.run(DELIVERY)
    [result] = world.results
    assert world.given_back == []
    return result


async def test_an_answer_is_recorded_with_what_was_sent() -> None:
    world = World()
    result = await run(world)
    assert (result.outcome.state, result.status, result.duration_ms) == ("DELIVERED", 200, 250)
    assert (result.response_headers, result.response_body) == ('["A","b"]', b"body")
    assert result.sent is not None
    assert result.sent.brand == "Brand"
    assert (result.started_at, world.finished, len(world.noted)) == (NOW, [0.25], 1)


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), StatementTimeoutError("slow")])
async def test_a_delivery_whose_event_cannot_be_read_now_is_given_back(error: Exception) -> None:
    world = World(error)
    await world.runner.run(DELIVERY)
    assert (world.given_back, world.results, world.finished) == ([DELIVERY], [], [])


async def test_nothing_is_sent_for_a_shard_that_was_lost_while_the_event_was_read() -> None:
    world = World(is_covered=False)
    await world.runner.run(DELIVERY)
    assert (world.given_back, world.results) == ([DELIVERY], [])


async def test_a_delivery_without_its_event_is_cancelled_without_a_request() -> None:
    world = World(None)
    result = await run(world)
    assert (result.outcome, result.status, world.finished) == (missing_event(), None, [None])


async def test_a_delivery_whose_event_is_unreadable_fails() -> None:
    result = await run(World(UnreadableEventError("DataError")))
    assert (result.outcome.state, result.outcome.code) == ("FAILED", "cancelled")
    assert "DataError" in str(result.outcome.error)


async def test_an_error_before_the_request_is_recorded_and_retried() -> None:
    world = World(LookupError("ours"))
    result = await run(world)
    assert result.outcome == broken_attempt(DELIVERY, LookupError())
    assert world.finished == [None]


async def test_an_error_of_the_sender_is_retried_on_the_endpoints_schedule() -> None:
    world = World(answer=LookupError("ours"))
    result = await run(world)
    assert (result.outcome.error, result.status) == ("internal error: LookupError", None)
    assert world.finished == [None], "the endpoint is neither quick nor slow by it"


async def test_an_answer_is_recorded_although_it_cannot_be_noted_for_its_endpoint() -> None:
    world = World(health_error=LookupError("ours"))
    result = await run(world)
    assert (result.outcome.state, result.status, world.finished) == ("DELIVERED", 200, [0.25])


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(410, (), DISABLING_SECONDS), (503, (("Retry-After", "60"),), 60.0)],
)
async def test_an_endpoint_that_asks_for_it_rests_at_once(
    status: int, headers: tuple[tuple[str, str], ...], seconds: float
) -> None:
    world = World(answer=Response(status, headers, b"", False, 0.1))
    await run(world)
    assert world.rests == [(ENDPOINT.id, NOW + seconds)]


def test_a_result_without_an_answer_has_no_response() -> None:
    result = result_of(DELIVERY, missing_event(), NOW, None, None)
    assert (result.status, result.duration_ms, result.response_headers) == (None, 0, None)
    assert result.response_body is None
