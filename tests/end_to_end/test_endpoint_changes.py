"""Endpoints that change, break or vanish while daemons run."""

import pytest

from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.loading import endpoint_cache as endpoints_module
from dispatcher.services.inputs.webhook_inputs import NewWebhook
from tests.end_to_end.inside import knows_pause, owned
from tests.end_to_end.stories import Daemons, SharedStory, Story, numbers
from tests.receivers import Answer, Receiver
from tests.waiting import until


async def test_deliveries_whose_endpoint_is_gone_are_held_and_the_others_go_on(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    receiver.otherwise = 500
    first = await daemons.start(retry={"base": "1h"})
    await story.insert(3)
    await until(lambda: _count(story, "attempt = 1", 3), "each failed once")
    await daemons.stop(first)
    await story.connection.execute("DELETE FROM dispatcher.endpoints WHERE id = $1", webhook.id)
    await story.connection.execute("UPDATE dispatcher.deliveries SET next_at = now()")
    await story.subscribe(another.url)
    second = await daemons.start()
    await until(lambda: _count(story, "parked", 3), "they are held")
    await story.insert(3)
    await another.wait_for(3)
    assert daemons.alive(second)


@pytest.mark.parametrize("retry", ['{"tries": 3}', '{"base": "10s"}', '{"retries": -1}', "[]"])
async def test_an_endpoint_with_invalid_settings_is_held_until_they_are_valid(
    shared_story: SharedStory, receiver: Receiver, another: Receiver, retry: str
) -> None:
    webhook = await shared_story.subscribe(receiver.url, retry=retry)
    await shared_story.subscribe(another.url)
    await shared_story.noticed()
    await shared_story.insert(3)
    await another.wait_for(3)
    await until(lambda: _count(shared_story, "parked", 3), "they are held")
    assert receiver.requests == []
    await shared_story.change(webhook.id, retry='{"retries": 1}')
    await shared_story.ended(DELIVERED=6)


async def test_a_deleted_endpoint_is_forgotten(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    daemon = await daemons.start()
    for n in range(3):
        webhook = await story.subscribe(receiver.url)
        await story.insert()
        await story.ended(DELIVERED=n + 1)
        assert len(daemon._engine.endpoints) == 1
        await story.delete(webhook.id)
        await until(lambda: len(daemon._engine.endpoints) == 0, "it is forgotten")


async def test_a_change_of_an_endpoint_does_not_end_its_pause(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    webhook = await shared_story.subscribe(receiver.url, max_in_flight=1)
    receiver.answers = [Answer(503, headers={"Retry-After": "2"})]
    await shared_story.noticed()
    await shared_story.insert(3)
    (refused,) = await receiver.wait_for(1)
    await shared_story.change(webhook.id, name="another")
    await shared_story.ended(DELIVERED=3)
    assert receiver.requests[1].at - refused.at >= 1.9
    assert numbers(receiver.requests).total() == 4


async def test_a_pause_removed_from_the_table_ends(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url, max_in_flight=1)
    receiver.answers = [Answer(429, headers={"Retry-After": "3600"})]
    daemon = await daemons.start(retry={"retries": 0})
    await story.insert(3)
    await until(lambda: _resting(story), "the rest is written")
    await until(lambda: knows_pause(daemon, webhook.id), "the daemon has read it")
    await story.connection.execute("UPDATE dispatcher.endpoint_health SET resting_until = NULL")
    await story.change(webhook.id, name="another")
    await story.ended(DELIVERED=2, FAILED=1)


async def _count(story: Story, condition: str, count: int) -> bool:
    return await story.count(condition) == count


async def _resting(story: Story) -> bool:
    rests: int = await story.connection.fetchval(
        "SELECT count(*) FROM dispatcher.endpoint_health WHERE resting_until > now()"
    )
    return rests == 1


async def test_very_many_changes_at_once_are_acted_on_bit_by_bit(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_module, "ENDPOINTS_LIMIT", 2)
    for n in range(7):
        await story.subscribe(f"{receiver.url}{n}")
    daemon = await daemons.start()
    await story.insert()
    await story.ended(DELIVERED=7)
    async with story.connection.transaction():
        await story.connection.execute("UPDATE dispatcher.endpoint_version SET version = 100")
        await story.connection.execute(
            "UPDATE dispatcher.endpoints SET version = 100, url = url || '/moved'"
        )
    await until(lambda: daemon._engine.endpoints.version == 100, "all changes are known")
    await story.insert()
    await story.ended(DELIVERED=14)
    assert {r.path for r in receiver.requests[7:]} == {f"/{n}/moved" for n in range(7)}
    assert len(owned(daemon)) == 64


@pytest.mark.parametrize("is_sealed", [True, False])
@pytest.mark.parametrize("column", ["authentication", "tls"])
async def test_nothing_is_sent_without_the_credentials_of_an_endpoint(
    shared_story: SharedStory,
    cipher: Cipher,
    receiver: Receiver,
    column: str,
    is_sealed: bool,
) -> None:
    webhook = await shared_story.subscribe(receiver.url)
    sealed = b"by another key"
    if is_sealed:
        sealed = cipher.encrypt(b'["of no meaning"]', context=webhook.id.bytes)
    await shared_story.change(webhook.id, **{column: "{}", f"{column}_sealed": sealed})
    await shared_story.noticed()
    await shared_story.insert(3)
    await until(lambda: _count(shared_story, "parked", 3), "they are held")
    assert receiver.requests == []
    await shared_story.change(webhook.id, **{column: None, f"{column}_sealed": None})
    await shared_story.ended(DELIVERED=3)


async def test_credentials_sealed_for_another_endpoint_are_not_used(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    basic = {"type": "basic", "username": "me", "password": "hush"}
    async with shared_story.webhooks() as webhooks:
        form = NewWebhook.model_validate(
            {"url": receiver.url, "events": ["a"], "authentication": basic}
        )
        first = await webhooks.create(form, environment_id="env_default")
    second = await shared_story.subscribe(receiver.url, "user.created")
    row = await shared_story.connection.fetchrow(
        "SELECT authentication, authentication_sealed FROM dispatcher.endpoints WHERE id = $1",
        first.id,
    )
    assert row is not None
    await shared_story.change(second.id, **dict(row))
    await shared_story.noticed()
    await shared_story.insert(2)
    await until(lambda: _count(shared_story, "parked", 2), "they are held")
    assert receiver.requests == []
