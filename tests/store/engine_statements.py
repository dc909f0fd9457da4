"""Every statement the engine runs by itself: in which session, with what, and for how many rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.store.engine_rows import DAEMON, ENDPOINTS, ORDERED, Queues, array, endpoint

SHARDS = array(range(64))
BATCH = 500


@dataclass(frozen=True, slots=True)
class Call:
    """`rows` is the work: rows written, or asked for."""

    session: str
    arguments: str
    rows: int


def results(ids: str, *more: str) -> str:
    """The columns of a batch of results, as the driver is given them."""
    text = "array_fill({}, ARRAY[%d])::text" % BATCH
    return ", ".join(
        [
            f"{ids}",
            text.format(1),
            text.format(5),
            text.format("'ok'::text"),
            text.format(200),
            text.format(5),
            "'{}'",
            f"array_to_string(array_fill('{{}}'::text, ARRAY[{BATCH}]), E'\\x1e')",
            f"array_to_string(array_fill('[]'::text, ARRAY[{BATCH}]), E'\\x1e')",
            f"array_fill(''::bytea, ARRAY[{BATCH}])",
            *more,
        ]
    )


def calls(queues: Queues) -> Mapping[str, Call]:
    """By a statement's name; a word after a colon tells several calls of one apart."""
    some = queues.ids(range(1, 200 * BATCH, 200))
    states = "array_fill({}::text, ARRAY[%d])::text" % BATCH
    delays = "array_fill(5, ARRAY[%d])::text" % BATCH
    hundred = array(endpoint(n) for n in range(100, 200))
    one = endpoint(5)
    never = f"array_fill('-infinity'::float8, ARRAY[64])"
    uuids = f"array_fill('{one}'::uuid, ARRAY[{BATCH}])"
    early = queues.ids(range(1, BATCH + 1))
    return {
        "deliveries/record:ended": Call("record", results(some, states.format("'DELIVERED'"), delays), BATCH),
        "deliveries/record:retried": Call("record", results(some, states.format("NULL"), delays), BATCH),
        "deliveries/record_late": Call("record", results(early, early, uuids), BATCH),
        "deliveries/due": Call("refill", f"{SHARDS}, {never}, array_fill(300, ARRAY[64]), 2e9", 300 * 64),
        "deliveries/due:one": Call("refill", "'{5}', '{-Infinity}', '{500}', 2e9", 500),
        "deliveries/park": Call("refill", f"{some}, {SHARDS}", BATCH),
        "deliveries/parked": Call("refill", f"{array([endpoint(1), *map(endpoint, range(100, 199))])}, array_fill(1000, ARRAY[100]), {SHARDS}, 5000", 5000),
        "deliveries/parked:one": Call("refill", f"{array([endpoint(1)])}, '{{1000}}', {SHARDS}, 5000", 1000),
        "deliveries/parked_in_order": Call("refill", f"'{endpoint(ORDERED)}', {ORDERED}::smallint, 1000", 1000),
        "deliveries/parked_endpoints": Call("refill", "", ENDPOINTS // 2),
        "deliveries/cancel": Call("upkeep", f"2000, {queues.base}", 2000),
        "deliveries/cancel:expired": Call("upkeep", f"2000, {queues.id(50_000)}", 4000),
        "inbox/fan_out": Call("fanout", f"500, 5::smallint, {DAEMON}, '{{}}', 0, '{{}}', 20000", 500),
        "inbox/fan_out:full": Call("fanout", f"500, 5::smallint, {DAEMON}, {hundred}, 0, '{{env_b}}', 20000", 500),
        "inbox/fan_out_slice": Call("fanout", f"200, 5::smallint, {DAEMON}, '{{}}', {queues.id(998)}, '{{}}'", 200),
        "inbox/quarantine": Call("fanout", "'reason', 'detail', 0, '{}'", 1),
        "unexamined/waiting": Call("examine", f"200, {SHARDS}", 200),
        "unexamined/waiting:some": Call("examine", "200, '{3,9}'", 200),
        "unexamined/move": Call("examine", f"{queues.ids(range(8_000_001, 8_000_001 + BATCH))}, '{{}}', '{{}}', '{{}}'", BATCH),
        "nudges/waiting": Call("lease", f"{SHARDS}, 0, 500", BATCH),
        "nudges/waiting:some": Call("lease", f"'{{5,9}}', {queues.base}, 500", BATCH),
        "nudges/remove": Call("lease", early, BATCH),
        "daemons/renew": Call("lease", f"{DAEMON}, 5", 1),
        "daemons/claim_shards": Call("lease", "9, 64", 64),
        "daemons/release_shards": Call("lease", f"{DAEMON}, {SHARDS}", 64),
        "daemons/leave": Call("lease", f"{DAEMON}", 64),
        "daemons/tell": Call("statistics", f"{DAEMON}, '{{}}'", 1),
        "daemons/forget_dead": Call("upkeep", "", 1),
        "daemons/forget_told": Call("upkeep", "", 1),
        "endpoints/with_ids": Call("endpoints", hundred, 100),
        "endpoints/changed_since": Call("endpoints", f"{ENDPOINTS - 10}", 10),
        "endpoints/note_failures": Call("upkeep", f"{hundred}, array_fill(1, ARRAY[100]), 5", 100),
        "endpoints/note_successes": Call("upkeep", hundred, 100),
        "endpoints/disable": Call("upkeep", f"'{one}', 'gone'", 1),
        "endpoints/pause": Call("upkeep", f"'{one}', 5", 1),
        "events/with_ids": Call("bodies", early, BATCH),
        "statistics/add_of_endpoints": Call("statistics", f"{hundred}, {', '.join(['array_fill(1, ARRAY[100])'] * 5)}, array_fill(array_fill(1, ARRAY[26])::text, ARRAY[100])", 100),
        "statistics/add_of_environments": Call("statistics", f"'{{a,b}}', {', '.join(['array_fill(1, ARRAY[2])'] * 5)}, array_fill(array_fill(1, ARRAY[26])::text, ARRAY[2])", 4),
        "statistics/prune": Call("upkeep", "1000", 1),
        "statistics/backlog": Call("people-0", "'env_default', 1001", 1001),
        "statistics/backlog_of_all": Call("people-0", "1001", 1001),
        "recoveries/step": Call("people-0", "2000, 1000, 1000, 5000", 1),
        "recoveries/next": Call("people-0", "", 1),
        "resends/look": Call("people-0", f"{queues.id(7)}, 'env_default'", 1),
        "resends/owe": Call("people-0", f"{queues.id(8_000_000)}, {queues.id(7)}, '{one}', 'env_default', 'user.created', 1::smallint", 1),
        "resends/expedite": Call("people-0", f"{queues.id(7)}", 1),
        "resends/cancel": Call("people-0", f"{queues.id(7)}, 'asked for'", 1),
        "partitions/ensure": Call("upkeep", "7", 1),
        "partitions/drop_one": Call("upkeep", "'events', 8640000", 1),
        "partitions/forget_keys": Call("upkeep", "5, 5000", 1),
        "answered/prune": Call("upkeep", "86400, 1000", 1),
    }  # fmt: skip
