"""`dispatcher key rotate`, on a real database."""

import json
from pathlib import Path
from uuid import UUID

from dispatcher.encryption.cipher import Cipher
from tests.conftest import Connection
from tests.end_to_end.shell import KEY, Shell

NEW = bytes(range(1, 33)).hex()


async def test_the_key_is_changed_and_the_former_one_is_refused(
    dispatcher: Shell, tmp_path: Path
) -> None:
    created = await dispatcher(
        "webhook", "create", "https://example.com/", "--events", "a", "--more",
        '{"headers": {"X-Key": "v"}}', "--json",
    )  # fmt: skip
    webhook = json.loads(created.out)["id"]
    former = tmp_path / "former.key"
    former.write_text(KEY)
    former.chmod(0o600)
    none = await dispatcher("key", "rotate")
    assert (none.code, none.out) == (2, "")
    assert none.err.startswith("There is no second key.")

    both = dispatcher.setting(secrets__key=NEW, secrets__second_key_file=str(former))
    assert "run: dispatcher key rotate" in (await both("check")).err
    done = await both("key", "rotate")
    assert (done.code, done.out) == (0, "2 values encrypted again, 1 webhooks checked.\n")
    assert json.loads((await both("key", "rotate", "--json")).out) == {
        "webhooks": 1,
        "values": 0,
        "unreadable": [],
    }
    new = dispatcher.setting(secrets__key=NEW)
    shown = json.loads((await new("webhook", "get", webhook, "--json")).out)
    assert shown["headerNames"] == ["X-Key"]
    assert (await new("webhook", "rotate", webhook)).code == 0
    refused = await dispatcher("webhook", "rotate", webhook)
    assert (refused.code, refused.out) == (1, "")
    assert KEY not in done.out + done.err
    assert NEW not in done.out + done.err


async def test_values_of_another_key_are_named_until_they_are_replaced(
    dispatcher: Shell, connection: Connection
) -> None:
    create = ("webhook", "create", "https://example.com/", "--events", "a", "--json")
    one, other = [json.loads((await dispatcher(*create)).out)["id"] for _ in range(2)]
    lost = Cipher(bytes(32)).encrypt(b"lost", context=UUID(one).bytes)
    await connection.execute(
        "UPDATE dispatcher.endpoints SET secret = $1, headers = $1 WHERE id = $2", lost, UUID(one)
    )
    both = dispatcher.setting(secrets__key=NEW, secrets__second_key=KEY)
    done = await both("key", "rotate")
    assert (done.code, done.out) == (1, "1 values encrypted again, 2 webhooks checked.\n")
    assert f"Webhook {one}: signing secret, headers\n" in done.err
    assert "dispatcher webhook rotate ID" in done.err
    assert "remove secrets.second_key" not in done.err
    assert other not in done.err
    as_json = await both("key", "rotate", "--json")
    assert (as_json.code, as_json.err) == (1, done.err)
    assert json.loads(as_json.out)["unreadable"] == [one]

    assert (await both("webhook", "rotate", one)).code == 0
    assert (await both("webhook", "update", one, "--more", '{"headers": {}}')).code == 0
    replaced = await both("key", "rotate")
    assert (replaced.code, replaced.out) == (0, "0 values encrypted again, 2 webhooks checked.\n")
    assert "remove secrets.second_key" in replaced.err
