"""Tokens as the API and the command line know them, and who shows one."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from dispatcher.config.loading import load
from dispatcher.config.sections import Config, ConfigError
from dispatcher.core.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Problem,
)
from dispatcher.core.model import Scope
from dispatcher.services.access import token_authentication as module
from dispatcher.services.access.token_authentication import (
    BUSY_LOOKUPS,
    Principal,
    TokenAuthenticator,
    root_token_hash,
)
from dispatcher.services.access.tokens import Token, Tokens
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.inputs.token_inputs import NewToken
from dispatcher.store.pool import Pool, PoolShare
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ADMIN_TOKEN = "a-secret-of-the-operator-0123456789"
HOUR = timedelta(hours=1)


class Office:
    """Tokens, a transaction a call, and the gate they open."""

    def __init__(self, pool: Pool, actor: Actor) -> None:
        self.pool = pool
        self.actor = actor
        self.gate = TokenAuthenticator(pool, None)

    async def create(
        self,
        environment_id: str = "env_default",
        scope: Scope = "write",
        *,
        asked_by: str | None = None,
        expires_at: datetime | None = None,
    ) -> Token:
        form = NewToken(
            name="ci", environment_id=environment_id, scope=scope, expires_at=expires_at
        )
        async with self.pool.transaction() as session:
            return await Tokens(session, self.actor).create(form, environment_id=asked_by)

    async def list(self, environment_id: str | None = None) -> tuple[Token, ...]:
        return await Tokens(self.pool, self.actor).list(environment_id)

    async def revoke(self, token_id: UUID, *, asked_by: str | None = None) -> None:
        async with self.pool.transaction() as session:
            await Tokens(session, self.actor).revoke(token_id, environment_id=asked_by)

    async def whose(self, token: Token) -> Principal | None:
        assert token.token is not None
        return await self.gate.authenticate(token.token)


@pytest.fixture
def office(pool: Pool, actor: Actor) -> Office:
    return Office(pool, actor)


async def audited(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch("SELECT * FROM dispatcher.audit")]


async def dump(connection: Connection) -> str:
    """Everything in the database, as text."""
    tables: Sequence[Any] = await connection.fetch(
        "SELECT quote_ident(relname) AS name FROM pg_class"
        " WHERE relnamespace = 'dispatcher'::regnamespace AND relkind IN ('r', 'p')"
    )
    texts = [
        row["row"]
        for table in tables
        for row in await connection.fetch(
            f"SELECT t::text AS row FROM dispatcher.{table['name']} t"  # noqa: S608
        )
    ]
    return "\n".join(texts)


# ── from create to authenticate ──────────────────────────────────────────────────────────────────


async def test_a_token_shows_its_environment(office: Office) -> None:
    made = await office.create("env_default", "write")
    assert await office.whose(made) == Principal(str(made.id), "ci", "write", "env_default")


async def test_a_token_for_all_environments_is_bound_to_none(office: Office) -> None:
    made = await office.create("*", "admin")
    principal = await office.whose(made)
    assert made.environment_id == "*"
    assert principal is not None
    assert principal.environment_id is None


async def test_the_text_of_a_token_is_returned_only_at_its_creation(
    office: Office, connection: Connection
) -> None:
    made = await office.create()
    assert made.token is not None
    assert len(made.token) == len("dsp_") + 43
    assert made.token not in repr(made)
    [listed] = await office.list()
    assert (listed.id, listed.token) == (made.id, None)


async def test_no_dump_holds_a_token(office: Office, connection: Connection) -> None:
    texts = [(await office.create(scope=scope)).token for scope in ("read", "write", "admin")]
    await office.revoke((await office.list())[0].id)
    dumped = await dump(connection)
    for text in texts:
        assert text is not None
        assert hashlib.sha256(text.encode()).hexdigest() in dumped
        secret = text.removeprefix("dsp_")
        assert secret not in dumped
        assert secret.encode().hex() not in dumped


async def test_the_last_use_of_a_token_is_listed(office: Office) -> None:
    made = await office.create()
    assert made.last_used_at is None
    await office.whose(made)
    [listed] = await office.list()
    assert listed.last_used_at is not None


# ── what opens nothing ───────────────────────────────────────────────────────────────────────────


async def test_a_revoked_token_is_refused_at_once(office: Office) -> None:
    made = await office.create()
    assert await office.whose(made) is not None
    await office.revoke(made.id)
    assert await office.whose(made) is None


async def test_an_expired_token_is_refused(office: Office, connection: Connection) -> None:
    made = await office.create(expires_at=datetime.now(UTC) + HOUR)
    assert await office.whose(made) is not None
    await connection.execute("UPDATE dispatcher.tokens SET expires_at = now()")
    assert await office.whose(made) is None


async def busy(office: Office, **options: Any) -> Token:
    """A token that was used so often within a second that its owner is remembered."""
    made = await office.create(**options)
    for _ in range(BUSY_LOOKUPS):
        assert await office.whose(made) is not None
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time of the authenticator, in seconds."""
    now = [1000.0]
    monkeypatch.setattr("dispatcher.services.access.token_authentication.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dispatcher.tokens SET revoked_at = now()",
        "UPDATE dispatcher.tokens SET expires_at = now()",
        "DELETE FROM dispatcher.tokens",
    ],
)
async def test_a_busy_token_is_looked_up_again_within_a_second(
    office: Office, connection: Connection, clock: list[float], change: str
) -> None:
    made = await busy(office)
    await connection.execute(change)
    clock[0] += 0.89
    assert await office.whose(made) is not None  # otherwise nothing was remembered
    clock[0] += 0.1
    assert await office.whose(made) is None


async def test_a_changed_scope_holds_within_a_second(
    office: Office, connection: Connection, clock: list[float]
) -> None:
    made = await busy(office)
    await connection.execute("UPDATE dispatcher.tokens SET scope = 'read'")
    clock[0] += 0.99
    principal = await office.whose(made)
    assert principal is not None
    assert principal.scope == "read"


async def test_a_busy_token_is_not_remembered_beyond_its_expiry(
    office: Office, connection: Connection, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OWNER_REMEMBERED_SECONDS", 3600.0)
    made = await busy(office, expires_at=datetime.now(UTC) + timedelta(seconds=60))
    await connection.execute("UPDATE dispatcher.tokens SET expires_at = now()")
    clock[0] += 30
    assert await office.whose(made) is not None  # otherwise nothing was remembered
    clock[0] += 30
    assert await office.whose(made) is None


async def test_a_token_that_was_busy_an_hour_ago_is_looked_up_each_time(
    office: Office, connection: Connection, clock: list[float]
) -> None:
    made = await busy(office)
    clock[0] += 3600
    assert await office.whose(made) is not None
    await connection.execute("UPDATE dispatcher.tokens SET revoked_at = now()")
    assert await office.whose(made) is None


async def test_a_token_in_use_all_the_time_stays_remembered(
    office: Office, connection: Connection, clock: list[float]
) -> None:
    made = await busy(office)
    for _ in range(40):
        clock[0] += 0.25
        assert await office.whose(made) is not None
    await connection.execute("UPDATE dispatcher.tokens SET revoked_at = now()")
    assert await office.whose(made) is not None
    clock[0] += 1
    assert await office.whose(made) is None


async def test_after_a_change_by_an_administrator_every_token_is_looked_up(
    office: Office, connection: Connection, clock: list[float]
) -> None:
    made = await busy(office)
    await connection.execute("UPDATE dispatcher.tokens SET revoked_at = now()")
    office.gate.forget()
    assert await office.whose(made) is None


async def test_requests_at_the_same_time_share_a_look_up(
    office: Office, clock: list[float]
) -> None:
    made = await office.create()
    principals = await asyncio.gather(*(office.whose(made) for _ in range(50)))
    assert all(principals)


async def test_an_unknown_token_is_refused(office: Office) -> None:
    made = await office.create()
    assert made.token is not None
    middle = "A" if made.token[20] != "A" else "B"
    assert await office.gate.authenticate(made.token[:20] + middle + made.token[21:]) is None


class Refusing(Session):
    """A database that must not be asked."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        raise AssertionError("the database was asked")


def unasked() -> Pool:
    return Pool([Refusing("", "test")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dsp_",
        "dsp_" + "A" * 42,
        "dsp_" + "A" * 44,
        "dsp_" + "A" * 42 + "B",
        "dsp_" + "A" * 43 + "\n",
        "DSP_" + "A" * 43,
        "dsp_" + "A" * 42 + "+",
        "dsp_" + "A" * 42 + "é",
        "dsp_" + "A" * 42 + "\udcff",
        "dsp_" + "A" * 42 + "\0",
        "x" * 100_000,
    ],
)
async def test_a_text_without_the_form_of_a_token_is_not_looked_up(text: str) -> None:
    assert await TokenAuthenticator(unasked(), bytes(32)).authenticate(text) is None


async def test_a_text_with_the_form_of_a_token_is_looked_up() -> None:
    with pytest.raises(AssertionError, match="was asked"):
        await TokenAuthenticator(unasked(), None).authenticate("dsp_" + "A" * 43)


# ── the operator's own ───────────────────────────────────────────────────────────────────────────


def configured(token: str) -> Config:
    return load(
        environ={"DISPATCHER_SECRETS__ADMIN_TOKEN": token, "DISPATCHER_CONFIG": "/dev/null"}
    )


async def test_the_configured_token_may_do_everything_and_is_in_no_table() -> None:
    gate = TokenAuthenticator(unasked(), root_token_hash(configured(ADMIN_TOKEN)))
    principal = await gate.authenticate(ADMIN_TOKEN)
    assert principal == Principal("bootstrap", "secrets.admin_token", "admin", None)
    assert await gate.authenticate(ADMIN_TOKEN[:-1]) is None
    assert await gate.authenticate(ADMIN_TOKEN + " ") is None


async def test_without_a_configured_root_token_none_is_accepted() -> None:
    assert root_token_hash(configured("")) is None
    assert (
        await TokenAuthenticator(unasked(), root_token_hash(configured(""))).authenticate("")
        is None
    )


async def test_other_tokens_are_accepted_beside_the_configured_one(office: Office) -> None:
    made = await office.create()
    assert made.token is not None
    gate = TokenAuthenticator(office.pool, root_token_hash(configured(ADMIN_TOKEN)))
    principal = await gate.authenticate(made.token)
    assert principal is not None
    assert principal.token_id == str(made.id)


@pytest.mark.parametrize("token", ["x" * 31, "x" * 31 + " " + "x" * 31, "é" * 32, "x" * 32 + "\t"])
def test_a_configured_token_that_is_weak_or_cannot_be_sent_is_refused_without_repeating_it(
    token: str,
) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(token)
    assert str(raised.value).startswith("secrets.admin_token: must be 32 or more printable")
    assert token not in str(raised.value)


def test_the_configured_token_may_be_a_credential_and_does_not_show(tmp_path: Path) -> None:
    (tmp_path / "secrets.admin_token").write_text(f"{ADMIN_TOKEN}\n")
    config = load(
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path), "DISPATCHER_CONFIG": "/dev/null"}
    )
    assert root_token_hash(config) == hashlib.sha256(ADMIN_TOKEN.encode()).digest()
    assert ADMIN_TOKEN not in f"{config!r} {config} {config.model_dump()}"


# ── scopes and environments ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("scope", "may"),
    [("read", {"read"}), ("write", {"read", "write"}), ("admin", {"read", "write", "admin"})],
)
def test_a_scope_includes_the_weaker_scopes(scope: Scope, may: set[Scope]) -> None:
    principal = Principal("id", "name", scope, None)
    every: tuple[Scope, ...] = ("read", "write", "admin")
    assert {candidate for candidate in every if principal.may(candidate)} == may


async def test_an_unknown_environment_is_a_problem_of_its_field(
    office: Office, connection: Connection
) -> None:
    with pytest.raises(InvalidError) as raised:
        await office.create("env_x")
    problem = Problem(("environment_id",), "there is no environment 'env_x'")
    assert raised.value.problems == (problem,)
    assert await audited(connection) == []


async def test_a_foreign_environment_looks_like_a_missing_one(
    office: Office, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    messages = []
    for environment_id in ("env_x", "env_y"):
        with pytest.raises(InvalidError) as raised:
            await office.create(environment_id, asked_by="env_default")
        messages.append(str(raised.value).replace(environment_id, "…"))
    assert messages[0] == messages[1]
    assert await office.list() == ()


async def test_a_bound_token_manages_tokens_only_in_its_environment(
    office: Office, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    own = await office.create("env_x", "admin", asked_by="env_x")
    foreign = [await office.create(environment_id) for environment_id in ("env_default", "*")]
    assert [token.id for token in await office.list("env_x")] == [own.id]
    for token in foreign:
        with pytest.raises(NotFoundError):
            await office.revoke(token.id, asked_by="env_x")
        assert await office.whose(token) is not None
    await office.revoke(own.id, asked_by="env_x")
    assert await office.whose(own) is None


async def test_a_bound_token_cannot_create_one_for_all_environments(office: Office) -> None:
    with pytest.raises(ForbiddenError):
        await office.create("*", asked_by="env_default")
    assert await office.list() == ()


async def test_a_missing_or_revoked_token_is_unknown(
    office: Office, connection: Connection
) -> None:
    made = await office.create()
    await office.revoke(made.id)
    for token_id in (made.id, uuid4()):
        with pytest.raises(NotFoundError):
            await office.revoke(token_id)
    assert [row["action"] for row in await audited(connection)] == ["token.create", "token.revoke"]


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


async def test_an_expiry_must_be_in_the_future(office: Office, connection: Connection) -> None:
    with pytest.raises(InvalidError) as raised:
        await office.create(expires_at=datetime.now(UTC) - HOUR)
    assert raised.value.problems == (Problem(("expires_at",), "must be in the future"),)
    assert await audited(connection) == []


def test_a_form_is_read_from_json_with_the_least_scope_by_default() -> None:
    form = NewToken.model_validate_json('{"name": "ci", "environmentId": "*"}')
    assert (form.scope, form.expires_at) == ("read", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"environmentId": "**"},
        {"environmentId": "env x"},
        {"environmentId": ""},
        {"scope": "root"},
        {"expiresAt": "2030-01-01T00:00:00"},
        {"expiresAt": "never"},
        {"token": "dsp_mine"},
    ],
)
def test_an_invalid_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewToken.model_validate_json(json.dumps({"name": "ci", "environmentId": "*", **fields}))


# ── the audit ────────────────────────────────────────────────────────────────────────────────────


async def test_each_change_is_audited_without_the_token(
    office: Office, connection: Connection
) -> None:
    made = await office.create("*", "admin")
    await office.revoke(made.id)
    created, revoked = await audited(connection)
    for row, action in ((created, "token.create"), (revoked, "token.revoke")):
        assert (row["action"], row["subject"]) == (action, str(made.id))
        assert (row["actor"], row["request_id"]) == (office.actor.name, office.actor.request_id)
        assert row["environment_id"] is None
    assert json.loads(created["detail"]) == {"name": "ci", "scope": "admin", "expires_at": None}
    assert made.token is not None
    text = f"{created} {revoked}"
    assert made.token not in text
    assert hashlib.sha256(made.token.encode()).hexdigest() not in text


async def test_a_rolled_back_change_is_not_audited(
    office: Office, connection: Connection, actor: Actor
) -> None:
    form = NewToken(name="ci", environment_id="*")

    async def fail_after_creating() -> None:
        async with office.pool.transaction() as session:
            await Tokens(session, actor).create(form, environment_id=None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_creating()
    assert await office.list() == ()
    assert await audited(connection) == []


# ── what the gate remembers ──────────────────────────────────────────────────────────────────────


class Counting(Pool):
    """Counts what the database is asked, by whom."""

    def __init__(self, pool: Pool) -> None:
        self._counted = pool
        self.lanes: list[str] = []

    def of(self, key: str) -> PoolShare:
        self.lanes.append(key)
        return self._counted.of(key)


async def test_the_same_wrong_token_again_costs_no_statement(office: Office) -> None:
    pool = Counting(office.pool)
    gate = TokenAuthenticator(pool, None)
    for _ in range(3):
        assert await gate.authenticate("dsp_" + "A" * 43, "192.0.2.1") is None
    assert pool.lanes == ["unknown from 192.0.2.1"]


async def test_a_token_just_made_is_good_at_once_and_a_revoked_one_is_not(office: Office) -> None:
    made = await office.create()
    assert made.token is not None
    pool = Counting(office.pool)
    gate = TokenAuthenticator(pool, None)
    assert not gate.remembers(made.token)
    for _ in range(2):
        assert await gate.authenticate(made.token, "192.0.2.1") is not None
    assert gate.remembers(made.token)
    assert pool.lanes == ["unknown from 192.0.2.1", "env_default"]
    await office.revoke(made.id)
    assert await gate.authenticate(made.token, "192.0.2.1") is None
    assert not gate.remembers(made.token)


async def test_the_number_of_remembered_tokens_is_limited(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED_LIMIT", 2)
    gate = TokenAuthenticator(office.pool, None)
    texts = [made.token or "" for made in [await office.create() for _ in range(3)]]
    for text in texts:
        await gate.authenticate(text)
    assert [gate.remembers(text) for text in texts] == [False, True, True]
