"""The list of events, as a visitor reads it."""

from tests.api.conftest import Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_webhooks import made
from tests.end_to_end.stories import until
from tests.receivers import Receiver

NEVER = {"retries": 0, "base": 1}


async def test_each_event_says_how_its_deliveries_went(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection, home: str
) -> None:
    await made(admin, receiver.url, name="Good", retry=NEVER)
    await made(admin, receiver.url, name="Bad", retry=NEVER)
    receiver.answers = [200]
    receiver.otherwise = 500
    await admin("POST", "/api/events", {"type": "user.created", "data": {}})
    await admin("POST", "/api/events", {"type": "role.created", "data": {}})

    async def told() -> bool:
        text = (await visitor.get("/events")).text
        words = ("1 delivered", "1 failed", "no deliveries")
        return all(each in text for each in words)

    await until(told, "the list says how each event went")
    await database.execute(
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)"
        " SELECT id, id, environment_id, type, 0, 'schema', '' FROM dispatcher.events"
        " WHERE type = 'role.created' AND environment_id = $1",
        home,
    )
    assert "in quarantine" in (await visitor.get("/events")).text
