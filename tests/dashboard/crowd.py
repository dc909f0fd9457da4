"""A crowded database: as many webhooks, types, environments and deliveries as one asks for.

Everything is in the default environment, with a partition a day. Nothing is due, so a daemon sends
nothing, and each page shows the same for as long as one looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from dispatcher.encryption.cipher import Cipher
from tests.conftest import Connection


@dataclass(frozen=True, slots=True)
class Size:
    """The number of rows of each kind."""

    deliveries: int = 100_000
    webhooks: int = 1_000
    types: int = 500
    environments: int = 300
    others: int = 1_000
    """Entries of the audit log, of quarantine, and of whatever else has a list."""
    days: int = 30
    """Of history. A daemon drops what is older than its retention."""


ENVIRONMENTS = """
INSERT INTO dispatcher.environments (id, name)
SELECT 'env_tenant_' || n, 'Tenant ' || n FROM generate_series(2, $1::int) AS n
"""
TYPES = """
INSERT INTO dispatcher.event_types (environment_id, name, description, example, schema)
SELECT 'env_default', 'shop' || n % 20 || '.thing_' || n || '.changed', 'Thing ' || n || ' has changed, and its owner should know',
       json_build_object('id', 'thing_' || n, 'text', repeat('lorem ipsum ', 20)),
       '{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"text":{"type":"string"}}}'
FROM generate_series(1, $1::int) AS n
"""
# Every 20th fails, every 25th is disabled.
WEBHOOKS = """
INSERT INTO dispatcher.endpoints (id, environment_id, name, description, url, secret, version, active, metadata)
SELECT n.id, 'env_default', 'Customer ' || n.number, 'Made for a customer', 'https://hooks.customer-' || n.number || '.example/webhooks/in',
       n.secret, n.number, n.number % 25 <> 4, '{"plan":"large"}'
FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS n(id, secret, number)
"""
SUBSCRIPTIONS = """
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id, position)
SELECT 'env_default', p.pattern, n.id, p.position
FROM unnest($1::uuid[]) WITH ORDINALITY AS n(id, number)
CROSS JOIN LATERAL (VALUES ('shop' || n.number % 20 || '.*', 0), ('user.*', 1), ('order.paid', 2)) AS p(pattern, position)
"""
FAILING = """
INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)
SELECT n.id, now() - n.number * interval '1 minute', now(), 1000
FROM unnest($1::uuid[]) WITH ORDINALITY AS n(id, number) WHERE n.number % 20 = 3
"""
PARTITIONS = """
SELECT dispatcher.make_partition(parent, (now() AT TIME ZONE 'UTC')::date - n)
FROM generate_series(1, $1::int + 1) AS n, unnest('{events,attempts}'::text[]) AS parent
"""
# Three deliveries an event; the newest event has one of every webhook.
EVENTS = """
INSERT INTO dispatcher.events (id, environment_id, type, data, reference)
SELECT dispatcher.id_floor(now() - n * make_interval(days => $2) / $1) + n, 'env_default',
       CASE WHEN n % 100 = 7 THEN 'order.rare' ELSE 'order.paid' END,
       json_build_object('id', 'inv_' || n, 'customer', 'Customer ' || n % 1000, 'text', repeat('lorem ipsum ', 20)), 'ord_' || n
FROM generate_series(1, $1::int) AS n
"""
# A tenth of them is the first webhook's. A fifth took two attempts, the newest delivery of the first webhook took 30.
ATTEMPTS = """
INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 status, duration_ms, error, signed_at, response_headers, response_body, next_at, state)
SELECT dispatcher.id_floor(d.at + m * interval '100 ms') + d.number, d.id, d.event_id, e.id, 'env_default', d.type, m, d.at,
       CASE WHEN ok THEN 'ok' ELSE 'http' END, CASE WHEN ok THEN 200 ELSE 503 END, 12 + m, CASE WHEN ok THEN NULL ELSE 'answered 503' END,
       1700000000,
       '[1,"application/json",0,"2048",2,"Mon, 01 Jan 2024 00:00:00 GMT"]',
       decode(repeat('7b226f6b223a747275657d0a', 100), 'hex'),
       CASE WHEN m < d.tries THEN d.at + m * interval '100 ms' END,
       CASE WHEN m < d.tries THEN NULL WHEN ok THEN 'DELIVERED' ELSE 'FAILED' END
FROM (
  SELECT v.event, v.number, v.at, 1 + CASE WHEN v.number % 10 = 0 THEN 0 ELSE v.number::bigint * 7919 % cardinality($3::uuid[]) END AS webhook,
         dispatcher.id_floor(v.at) + v.event AS event_id, dispatcher.id_floor(v.at + interval '5 ms') + v.number AS id,
         CASE WHEN v.event % 100 = 7 THEN 'order.rare' ELSE 'order.paid' END AS type,
         CASE WHEN v.number = 10 THEN 30 WHEN v.number % 5 = 0 THEN 2 ELSE 1 END AS tries
  FROM (SELECT n AS event, 3 * n + k AS number, now() - n * make_interval(days => $2) / $1 AS at
        FROM generate_series(1, $1::int) AS n CROSS JOIN generate_series(0, 2) AS k
        UNION ALL
        SELECT 1, 4 * $1 + k, now() - make_interval(days => $2) / $1 FROM generate_series(1, cardinality($3::uuid[])) AS k) AS v
) AS d
JOIN unnest($3::uuid[]) WITH ORDINALITY AS e(id, number) ON e.number = d.webhook
CROSS JOIN LATERAL generate_series(1, d.tries) AS m
CROSS JOIN LATERAL (SELECT m = d.tries AND d.number % 25 > 0 AND e.number % 20 <> 3 AS ok) AS a
"""
PENDING = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.id_floor(now() - interval '1 hour') + n, dispatcher.id_floor(now() - make_interval(days => $2) / $3) + 1,
       e.id, 'env_default', 'order.paid', now() + interval '1 hour' + n * interval '1 second', n % 64, n % 3
FROM generate_series(1, $1::int) AS n
JOIN unnest($4::uuid[]) WITH ORDINALITY AS e(id, number)
  ON e.number = 1 + CASE WHEN n % 10 = 0 THEN 0 ELSE n::bigint * 7919 % cardinality($4::uuid[]) END
"""
STATISTICS = (
    """
INSERT INTO dispatcher.endpoint_statistics
SELECT e.id, date_bin('30 minutes', now(), '2000-01-01') - h * interval '30 minutes', 20, 2, 18, 0, 2000, h.sums
FROM unnest($1::uuid[]) AS e(id)
CROSS JOIN (SELECT n, array_fill(1, ARRAY[26]) AS sums FROM generate_series(0, 47) AS n) AS h(h, sums)
""",
    """
INSERT INTO dispatcher.environment_statistics
SELECT v.id, s.span, date_bin(make_interval(secs => s.span), now(), '2000-01-01') - n * make_interval(secs => s.span),
       20, 2, 18, 0, 2000, array_fill(1, ARRAY[26])
FROM (VALUES ('*'), ('env_default')) AS v(id) CROSS JOIN (VALUES (10, 1000), (600, 1000)) AS s(span, number)
CROSS JOIN LATERAL generate_series(0, s.number) AS n
WHERE $1::uuid[] IS NOT NULL
""",
    """
INSERT INTO dispatcher.backlog_samples
SELECT v.id, date_bin('1 minute', now(), '2000-01-01') - n * interval '1 minute', 10, 1000, 100, 0.5
FROM (VALUES ('*'), ('env_default')) AS v(id) CROSS JOIN generate_series(0, 1440) AS n
WHERE $1::uuid[] IS NOT NULL
""",
)
# Of each, $1 rows; $2 is the first webhook.
OTHERS = (
    """
INSERT INTO dispatcher.audit (environment_id, actor, action, subject, detail, address)
SELECT 'env_default', 'cli:ann', 'webhook.update', $2::uuid::text, '{"changed":["active"],"active":false}', '127.0.0.1'
FROM generate_series(1, $1::int)
""",
    """
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
SELECT e.id, e.id, 'env_default', e.type, 0, 'schema', 'its data does not match the schema'
FROM (SELECT id, type FROM dispatcher.events ORDER BY id DESC LIMIT $1::int) AS e WHERE $2::uuid IS NOT NULL
""",
    """
INSERT INTO dispatcher.tokens (name, environment_id, scope, hash)
SELECT 'Token ' || n, 'env_default', 'read', sha256(n::text::bytea) FROM generate_series(1, $1::int) AS n WHERE $2::uuid IS NOT NULL
""",
    """
INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, state, total, made, position)
SELECT 'env_default', $2::uuid, now() - interval '1 day', now(), true, 'DONE', 1000, 1000, 1 FROM generate_series(1, $1::int)
""",
    """
INSERT INTO dispatcher.bulk_actions (environment_id, action, criteria, position, state, total, made, skipped)
SELECT 'env_default', 'retry', '{"status":"FAILED"}', 1, 'DONE', 1000, 900, '{"changed":100}'
FROM generate_series(1, $1::int) WHERE $2::uuid IS NOT NULL
""",
)
IDS = """
SELECT (SELECT 'evt_' || max(id) FROM dispatcher.events) AS event_id,
       (SELECT 'dlv_' || delivery_id FROM dispatcher.attempts WHERE attempt = 30) AS delivery_id,
       (SELECT 'blk_' || max(id) FROM dispatcher.bulk_actions) AS bulk_action_id,
       (SELECT min(name) FROM dispatcher.event_types) AS name
"""


def webhook_ids(number: int) -> list[UUID]:
    """Return the ids of so many webhooks."""
    return [UUID(f"00000000-0000-4000-8000-{n:012}") for n in range(1, number + 1)]


async def fill(connection: Connection, cipher: Cipher, size: Size) -> Mapping[str, str]:
    """Fill an empty database that is migrated. Return an id for each kind of page, by its name in paths."""
    ids = webhook_ids(size.webhooks)
    events = max(1, size.deliveries * 9 // 10 // 3)
    secrets = [cipher.encrypt(b"a" * 64, context=id_.bytes) for id_ in ids]
    async with connection.transaction():
        await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER ALL")
        await connection.execute(ENVIRONMENTS, size.environments)
        await connection.execute(TYPES, size.types)
        await connection.execute(WEBHOOKS, ids, secrets)
        await connection.execute(SUBSCRIPTIONS, ids)
        await connection.execute(FAILING, ids)
        await connection.execute(
            "UPDATE dispatcher.endpoint_version SET version = $1", size.webhooks
        )
        await connection.execute(PARTITIONS, size.days)
        await connection.execute(EVENTS, events, size.days)
        await connection.execute(ATTEMPTS, events, size.days, ids)
        await connection.execute(PENDING, size.deliveries // 10, size.days, events, ids)
        for statement in STATISTICS:
            await connection.execute(statement, ids)
        for statement in OTHERS:
            await connection.execute(statement, size.others, ids[0])
        await connection.execute("ALTER TABLE dispatcher.events ENABLE TRIGGER ALL")
        await connection.execute(
            "ALTER TABLE dispatcher.events ENABLE REPLICA TRIGGER event_replicated"
        )
    await connection.execute("VACUUM ANALYZE")
    row = await connection.fetchrow(IDS)
    assert row is not None
    return {**row, "webhook_id": str(ids[0])}
