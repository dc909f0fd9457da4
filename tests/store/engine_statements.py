"""Every statement the engine runs by itself: in which session, with what, and what it may cost.

A statement that is in no function here is in PEOPLES.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from dispatcher.core.ids import LARGEST_ID
from tests.store.engine_rows import DAEMON, ORDERED, Queues, array, endpoint

SHARDS = array(range(64))
BATCH = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a statement. It may touch `blocks` for each of the `rows` it writes or asks for.

    If `indexes` are given, the queues are read by exactly these, in every state.
    """

    session: str
    arguments: str
    rows: int
    blocks: int
    indexes: frozenset[str]


def calls(queues: Queues) -> Mapping[str, Call]:
    """By a statement's name; a word after a colon tells several calls of one apart."""
    by_name = {}
    for of_stage in (_recording, _loading, _fanning_out, _checking, _leasing, _keeping, _people):
        for name, (session, arguments, rows, blocks, *indexes) in of_stage(queues).items():
            by_name[name] = Call(session, arguments, rows, blocks, frozenset(indexes))
    return by_name


PEOPLES = frozenset({
    *("connection_settings", "delivery_actions", "delivery_search", "endpoint_search", "environments", "event_types", "history", "migrator", "pauses"),
    *("schema_rights", "sealed_values", "server", "settings", "setup", "statistics/backlog_series"),
    *(f"bulk_actions/{name}" for name in ("cancel", "get", "list", "lock", "start")),
    *(f"endpoints/{name}" for name in ("for_people", "names", "search", "unwell")),
    *("audit/actors", "audit/list", "audit/names", "audit/of_actor", "audit/of_subject", "audit/write"),
    *("event_outcomes", "daemons/count_outdated", "daemons/list", "dashboard_sessions/create"),
    *("dashboard_sessions/delete", "dashboard_sessions/get", "dashboard_sessions/set_environment"),
    *(f"endpoints/{name}" for name in ("count", "create", "delete", "get", "list", "lock", "next_version")),
    *(f"endpoints/{name}" for name in ("rotate", "subscribe", "update")),
    *(f"events/{name}" for name in ("emit", "emit_directed", "emit_each", "emit_many", "limit_lock_wait", "of_keys", "with_ids")),
    *(f"idempotency/{name}" for name in ("claim", "keep", "read")),
    *(f"quarantine/{name}" for name in ("discard", "get", "list", "release")),
    *(f"replays/{name}" for name in ("cancel", "count", "get", "list", "start")),
    *(f"statistics/{name}" for name in ("of_endpoints", "pending_by_state", "pending_of_environment")),
    *(f"statistics/{name}" for name in ("series", "speed")),
    *(f"tokens/{name}" for name in ("authenticate", "create", "list", "revoke")),
})  # fmt: skip
"""Folders and statements that people's requests and commands run, or the start of a daemon, once."""
Row = tuple[str, str, int, int, *tuple[str, ...]]
Rows = Mapping[str, Row]


def _hundred() -> str:
    return array(endpoint(n) for n in range(100, 200))


def _times(value: str, number: int) -> str:
    return f"array_fill({value}, ARRAY[{number}])"


def _text(value: str) -> str:
    """A column of a batch of results, as the driver is given most of them."""
    return f"{_times(value, BATCH)}::text"


def _results() -> list[str]:
    """The columns of a batch of results after their ids."""
    headers = "array_to_string(" + _times("'{}'::text", BATCH) + ", E'\\x1e')"
    return [
        *map(_text, ("1", "5", "'ok'::text", "200", "5")),
        "'{}'",
        "'{}'",
        _text("1764380000"),
        headers,
        _times("''::bytea", BATCH),
        *(_text("5"),) * 4,
    ]


def _recording(queues: Queues) -> Rows:
    ids, early = _some(queues), queues.ids(range(1, BATCH + 1))
    delays = _text("5")
    ended = ", ".join([ids, *_results(), _text("'DELIVERED'::text"), delays])
    retried = ", ".join([ids, *_results(), _text("NULL::text"), delays])
    late = ", ".join(
        [early, *_results(), early, _times(f"'{endpoint(5)}'::uuid", BATCH), str(queues.id(1))]
    )
    return {
        "deliveries/record:ended": ("record", ended, BATCH, 8, "deliveries_pkey"),
        "deliveries/record:retried": ("record", retried, BATCH, 28, "deliveries_pkey"),
        # planned with its values, as the statements of the session "bodies" are
        "deliveries/record_late": ("bodies", late, BATCH, 50, "deliveries_pkey"),
        "deliveries/locked": ("record", ids, BATCH, 12, "deliveries_pkey"),
        "deliveries/quarantine": ("record", f"{queues.id(201)}, 0, 'detail'", 1, 40, "deliveries_pkey"),
        "deliveries/probe": ("record", "", 1, 20),
    }  # fmt: skip


def _some(queues: Queues) -> str:
    return queues.ids(range(1, 200 * BATCH, 200))


def _loading(queues: Queues) -> Rows:
    busy = array([endpoint(1), *(endpoint(n) for n in range(100, 199))])
    never = _times("'-infinity'::float8", 64)
    park = f"{_some(queues)}, {SHARDS}, {_times('0', BATCH)}, {_times('2e9::float8', BATCH)}"
    return {
        "deliveries/due": ("load", f"{SHARDS}, {never}, {_times('300', 64)}, 2e9", 300 * 64, 2, "deliveries_timer"),
        "deliveries/due:one": ("load", "'{5}', '{-Infinity}', '{500}', 2e9", 500, 3, "deliveries_timer"),
        "deliveries/park:inactive": ("endpoints", park, BATCH, 5, "deliveries_pkey"),
        "deliveries/park": ("load", park, BATCH, 5, "deliveries_pkey"),
        "deliveries/parked": ("load", f"{busy}, {_times('1000', 100)}, {SHARDS}, 5000", 5000, 5, "deliveries_parked"),
        "deliveries/parked:one": ("load", f"{array([endpoint(1)])}, '{{1000}}', {SHARDS}, 5000", 1000, 2, "deliveries_parked"),
        "deliveries/parked_in_order": ("load", f"'{endpoint(ORDERED)}', {ORDERED}::smallint, 1000", 1000, 5, "deliveries_pkey"),
        "deliveries/parked_endpoints": ("load", f"'{UUID(int=0)}', '{UUID(int=2**128 - 1)}'", queues.size.endpoints // 20, 5, "deliveries_parked"),
    }  # fmt: skip


def _fanning_out(queues: Queues) -> Rows:
    return {
        "inbox/fan_out": ("fanout", f"500, 5::smallint, {DAEMON}, '{{}}', 0, '{{}}', 20000, {LARGEST_ID}, 2048, 0, {LARGEST_ID}", BATCH, 60, "inbox_pkey", "inbox_directed_pkey", "subscriptions_pkey"),
        "inbox/fan_out:full": ("fanout", f"500, 5::smallint, {DAEMON}, {_hundred()}, 0, '{{env_b}}', 20000, {LARGEST_ID}, 2048, 0, {LARGEST_ID}", BATCH, 60, "inbox_pkey", "inbox_directed_pkey", "subscriptions_pkey"),
        "inbox/fan_out_plain": ("fanout", f"500, 5::smallint, {DAEMON}, {_hundred()}, 0, 20000, 2048, 0, {LARGEST_ID}", BATCH, 60, "inbox_pkey", "inbox_directed_pkey", "subscriptions_pkey"),
        "inbox/fan_out_slice": ("fanout", f"200, 5::smallint, {DAEMON}, '{{}}', {queues.id(998)}, '{{}}', {LARGEST_ID}", 200, 20, "inbox_pkey", "subscriptions_pkey"),
        "inbox/announce_listening": ("listen", "10000", 1, 5),
        "inbox/promise_polling": ("fanout", "300", 1, 5),
        "inbox/quarantine": ("fanout", f"'reason', 'detail', {queues.id(1)}", 1, 20, "inbox_pkey", "inbox_directed_pkey"),
        "inbox/first": ("fanout", f"0, {LARGEST_ID}, '{{}}'", 1, 20, "inbox_pkey", "inbox_directed_pkey"),
        "queues/waiting": ("fanout", "0", 4, 20, "inbox_pkey", "inbox_directed_pkey", "unvalidated_events_pkey", "bulk_actions_running"),
        "inbox/raise_mark": ("fanout", f"{queues.id(5)}, 0", 1, 20, "inbox_pkey", "inbox_directed_pkey"),
    }  # fmt: skip


def _checking(queues: Queues) -> Rows:
    ids = queues.ids(range(8_000_001, 8_000_001 + BATCH))
    return {
        "unvalidated_events/waiting": ("schema_check", f"200, {SHARDS}, 0, '{{}}'", 200, 4, "unvalidated_events_pkey"),
        "unvalidated_events/waiting:some": ("schema_check", "200, '{3,9}', 0, '{env_b}'", 200, 4, "unvalidated_events_pkey"),
        "unvalidated_events/with_data": ("schema_check", f"{queues.ids(range(1, 201))}, 1000000", 200, 5),
        "unvalidated_events/move": ("schema_check", f"{ids}, '{{}}', '{{}}', '{{}}'", BATCH, 5, "unvalidated_events_pkey"),
    }  # fmt: skip


def _leasing(queues: Queues) -> Rows:
    return {
        "change_notices/waiting": ("lease", f"{SHARDS}, 0, 500", BATCH, 5, "change_notices_pkey", "deliveries_pkey"),
        "change_notices/waiting:some": ("lease", f"'{{5,9}}', {queues.base}, 500", BATCH, 5, "change_notices_pkey", "deliveries_pkey"),
        "change_notices/add": ("record", f"{queues.ids(range(1, 101))}, {_hundred()}, {_times('5::smallint', 100)}", 100, 10),
        "change_notices/remove": ("lease", queues.ids(range(1, BATCH + 1)), BATCH, 5, "change_notices_pkey"),
        "daemons/renew": ("lease", f"{DAEMON}, 5", 1, 20, "change_notices_shard"),
        "daemons/take_clock_step": ("lease", "", 1, 20),
        "daemons/join": ("lease", "9, 8", 64, 10),
        "daemons/claim_shards": ("lease", "9, 64, '{8}', '{0}', '{true}'", 64, 10),
        "deliveries/bring_forward": ("lease", f"{queues.base}, 5000, {SHARDS}, 3600, '{2**40}'", 5000, 8, "deliveries_pkey"),
        "endpoints/bring_forward": ("lease", f"{SHARDS}, 3600, '{2**40}'", queues.size.endpoints, 8),
        "daemons/release_shards": ("lease", f"{DAEMON}, {SHARDS}", 64, 10),
        "daemons/leave": ("lease", f"{DAEMON}", 64, 10),
        "daemons/publish_status": ("statistics", f"{DAEMON}, '{{}}'", 1, 20),
        "endpoints/for_sending": ("endpoints", _hundred(), 100, 10),
        "endpoints/changed_since": ("endpoints", f"{queues.size.endpoints - 10}", 10, 5),
        "events/to_send": ("bodies", f"{queues.ids(range(1, BATCH + 1))}, 16777216", BATCH, 5),
    }  # fmt: skip


def _keeping(queues: Queues) -> Rows:
    sums = ", ".join([*[_times("1", 100)] * 5, _times(f"{_times('1', 26)}::text", 100)])
    return {
        "deliveries/cancel_expired_and_deleted": ("upkeep", f"2000, {queues.base}", 2000, 1, "deliveries_pkey"),
        "deliveries/cancel_expired_and_deleted:expired": ("upkeep", f"2000, {queues.id(50_000)}", 4000, 12, "deliveries_pkey"),
        "daemons/prune": ("upkeep", "", 1, 10),
        "daemons/prune_status": ("upkeep", "", 1, 10),
        "endpoints/note_failures": ("upkeep", f"{_hundred()}, {_times('1', 100)}, 5", 100, 15),
        "endpoints/note_successes": ("upkeep", _hundred(), 100, 20),
        "endpoints/disable": ("upkeep", f"'{endpoint(5)}', 'gone', NULL", 1, 40, "subscriptions_pkey"),
        "endpoints/rest": ("upkeep", f"'{endpoint(5)}', 5", 1, 40),
        "statistics/add_of_endpoints": ("statistics", f"{_hundred()}, {sums}", 100, 15),
        "statistics/add_of_environments": ("statistics", f"{array(range(100))}, {sums}", 200, 15),
        "statistics/prune": ("upkeep", "1000", 1, 20),
        "partitions/ensure": ("upkeep", "7", 1, 600),
        "partitions/drop_one": ("upkeep", "'events', 8640000", 1, 1000),
        "partitions/prune_keys": ("upkeep", "5, 5000", 1, 10),
        "statistics/sample_backlog": ("upkeep", "5000", 3 * 5000, 8),
        "bulk_actions/claim": ("upkeep", "2000, 2000", 4000, 1, "bulk_actions_running", "change_notices_pkey", "inbox_directed_delivery"),
        "bulk_actions/advance": ("upkeep", f"{queues.id(1)}, {queues.base}, 5, '{{}}', 0, true, 'env_default'", 1, 20),
        "bulk_actions/bring_forward": ("upkeep", "", 20, 5, "bulk_actions_running"),
        "bulk_actions/next": ("upkeep", "", 1, 20, "bulk_actions_running"),
        "bulk_actions/note_failure": ("upkeep", f"{queues.id(1)}, 'error', 20, 'env_default'", 1, 20),
        "bulk_actions/prune": ("upkeep", "86400, 1000", queues.size.inbox // 2, 1),
        "statistics/backlog_of_all": ("statistics", "1001", 1001, 8),
        "statistics/figures": ("statistics", "NULL, 1001", 1001, 8),
        "idempotency/prune": ("upkeep", "86400, 1000", 1, 10),
        "audit/prune": ("upkeep", f"{queues.base}, 1000", 1, 10),
        "tokens/prune": ("upkeep", "86400, 1000", 1, 10),
        "dashboard_sessions/prune": ("upkeep", "1000", 1, 10),
        "quarantine/expire": ("upkeep", f"{queues.id(7_000)}, 1000", 1000, 20),
        "events/emit_exhausted": ("upkeep", f"{_some(queues)}, {_times('1', BATCH)}, {queues.id(1)}", BATCH, 60, "subscriptions_pkey"),
        "replays/claim": ("upkeep", "1000, 5000, 'env_default'", 1, 20),
        "replays/next_environment": ("upkeep", "'env_default'", 1, 20),
        "replays/step": ("upkeep", f"2000, 1000, 1000, 5000, {queues.id(1)}, true", 2000, 20),
        "delivery_actions/lock_all": ("upkeep", "", 256, 5),
        "replays/bring_forward": ("upkeep", "", 1, 20),
        "replays/next": ("upkeep", "", 1, 20),
        "replays/note_failure": ("upkeep", f"{queues.id(1)}, 'error', 20, 'env_default'", 1, 20),
        "replays/skip_dropped_events": ("upkeep", f"{queues.base}", 1, 20),
        "replays/prune": ("upkeep", "86400, 1000", queues.size.inbox // 6, 1),
        "replicated/adopt": ("upkeep", f"10, 1000, {queues.base}", 1, 60),
        "triggers/silent": ("upkeep", "", 1, 400),
    }  # fmt: skip


def _people(queues: Queues) -> Rows:
    """Return the statements for changes by people, in the sessions of the engine and of people."""
    one = f"ARRAY[{queues.id(7)}]"
    again = f"ARRAY[{queues.id(8_000_000)}], {one}, ARRAY['{endpoint(5)}'::uuid], '{{a}}', '{{1}}', 'env_default'"
    return {
        "statistics/backlog": ("people", "'env_default', 1001", 1001, 80),
        "change_notices/unapplied": ("people", f"{queues.id(7)}", 1, 20, "change_notices_delivery"),
        "delivery_actions/find": ("people", f"{one}, 'env_default', {queues.base}, NULL", 1, 80),
        "delivery_actions/keep_events": ("people", one, 1, 30),
        "delivery_actions/enqueue": ("people", again, 1, 30, "inbox_directed_delivery", "deliveries_pkey"),
        "delivery_actions/expedite": ("people", one, 1, 30, "deliveries_pkey"),
        "delivery_actions/cancel": ("people", f"{one}, 'env_default', 'asked for'", 1, 30, "deliveries_pkey", "inbox_directed_delivery"),
    }  # fmt: skip
