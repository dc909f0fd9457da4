"""Read the catalog of a database as text, so that two ways of building the schema can be compared."""

import re
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"

# Indexes, sequences and tables of the migrator belong to it, not to the migration files.
QUERIES = {
    "schema": "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname = 'dispatcher'",
    "relation": """
        SELECT c.relname, c.relkind::text, c.relpersistence::text, c.reloptions::text, c.relacl::text,
               c.relreplident::text, c.relrowsecurity, pg_get_partkeydef(c.oid),
               pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class')
        FROM pg_class c WHERE c.relnamespace = 'dispatcher'::regnamespace""",
    "column": """
        SELECT c.relname, a.attname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
               format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
               a.attstorage::text, a.attidentity::text, a.attgenerated::text, a.attacl::text,
               a.attcollation::regcollation::text, col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'dispatcher'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
          AND NOT a.attisdropped""",
    "constraint": """
        SELECT n.conrelid::regclass::text, n.conname, pg_get_constraintdef(n.oid), n.convalidated,
               obj_description(n.oid, 'pg_constraint')
        FROM pg_constraint n WHERE n.connamespace = 'dispatcher'::regnamespace""",
    "index": """
        SELECT c.relname, pg_get_indexdef(c.oid), i.indisvalid, i.indisclustered
        FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relnamespace = 'dispatcher'::regnamespace""",
    "function": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text,
               obj_description(p.oid, 'pg_proc')
        FROM pg_proc p WHERE p.pronamespace = 'dispatcher'::regnamespace""",
    "trigger": """
        SELECT t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'dispatcher'::regnamespace AND NOT t.tgisinternal""",
    "view": """
        SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c
        WHERE c.relnamespace = 'dispatcher'::regnamespace AND c.relkind = 'v'""",
    "sequence": """
        SELECT s.seqrelid::regclass::text, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache,
               s.seqcycle, s.seqtypid::regtype::text
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace = 'dispatcher'::regnamespace""",
}
OF_THE_MIGRATOR = re.compile(r"\b(?:migrations|migrator)(?:_|\b)")


async def describe(connection: Connection) -> set[tuple[str, ...]]:
    """Return one tuple for each part of the schema. The parts that `migrate` makes are left out."""
    await connection.execute("SET search_path = pg_catalog, pg_temp")
    parts = set()
    for kind, query in QUERIES.items():
        for row in await connection.fetch(query):
            part = (kind, *(_plain(str(value)) for value in row))
            if not OF_THE_MIGRATOR.search(part[1]):
                parts.add(part)
    return parts


def _plain(text: str) -> str:
    """Return the text without SQL comments and without differences of spacing."""
    return " ".join(re.sub(r"--[^\n]*", "", text).split())
