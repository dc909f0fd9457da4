"""A server, a database or a role that is set up for something else, or against us."""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.conftest import Connection, with_database

SETTINGS = {
    "search_path": '"$user", public',
    "row_security": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "statement_timeout": "50ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "5ms",
    "idle_session_timeout": "500ms",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "TimeZone": "Pacific/Kiritimati",
    "timezone_abbreviations": "Australia",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "quote_all_identifiers": "on",
    "plpgsql.extra_errors": "all",
    "plpgsql.extra_warnings": "all",
    "check_function_bodies": "off",
    "client_min_messages": "debug5",
    "exit_on_error": "on",
    "log_parameter_max_length_on_error": "-1",
    "default_tablespace": "pg_global",
    "temp_tablespaces": "pg_global",
    "default_table_access_method": "heap",
    "jit": "on",
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "8",
    "from_collapse_limit": "1",
    "join_collapse_limit": "1",
    "geqo": "off",
    "geqo_threshold": "2",
    "constraint_exclusion": "on",
    "enable_partition_pruning": "off",
    "enable_partitionwise_join": "on",
    "enable_partitionwise_aggregate": "on",
    "enable_bitmapscan": "off",
    "enable_hashagg": "off",
    "enable_hashjoin": "off",
    "enable_incremental_sort": "off",
    "enable_indexonlyscan": "off",
    "enable_indexscan": "off",
    "enable_material": "off",
    "enable_memoize": "off",
    "enable_mergejoin": "off",
    "enable_nestloop": "off",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "enable_tidscan": "off",
}
"""For each setting that our sessions rely on, an unusual value that the server accepts. Only for
`default_table_access_method` it is the same value as ours."""

PRODUCERS = {
    name: SETTINGS[name]
    for name in SETTINGS
    if name
    not in {
        "default_transaction_read_only",  # would be the producer's own refusal
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "exit_on_error",
    }
}
"""What a producer's own session may have beside and still emit."""


class Owned(NamedTuple):
    """An empty database that belongs to a role of the same name, which has no further right."""

    dsn: str
    name: str

    def of(self, role: str) -> str:
        """The DSN with another role's name."""
        return self.dsn.replace(f"{self.name}@", f"{role}@", 1)


@asynccontextmanager
async def owned_database(maintenance: Connection, server: str) -> AsyncIterator[Owned]:
    """Make a database and the role that owns it. The role dispatcher_producer has to be there."""
    name = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {name} LOGIN")
    await maintenance.execute(
        f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'"
    )
    yield Owned(with_database(server, name).replace("postgres@", f"{name}@", 1), name)
    await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await maintenance.execute(f"DROP ROLE {name}")


@asynccontextmanager
async def login(maintenance: Connection) -> AsyncIterator[str]:
    """The name of a role that may log in and emit, and nothing else."""
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {role} LOGIN IN ROLE dispatcher_producer")
    yield role
    await maintenance.execute(f"DROP ROLE {role}")


def literal(name: str, value: str) -> str:
    """`name = 'value'` as SET takes it; lists of names are not one quoted text."""
    if name in {"search_path", "DateStyle", "temp_tablespaces"}:
        return f"{name} = {value}"
    return f"{name} = '{value}'"


async def alter(connection: Connection, whose: str, names: Iterable[str] = tuple(SETTINGS)) -> None:
    """Set these for `whose`, such as `DATABASE app` or `ROLE shop IN DATABASE app`."""
    for name in names:
        await connection.execute(f"ALTER {whose} SET {literal(name, SETTINGS[name])}")


# Operators and functions that fit better than PostgreSQL's own where a statement names them
# without a schema: PostgreSQL's take the common type of their arguments, these exactly the types
# that are given.
_TYPES = ("smallint", "integer", "bigint", "numeric", "float8", "real")
_PAIRS = [(left, right) for left in _TYPES for right in _TYPES]
_OPERATORS = {
    **{sign: [*_PAIRS] for sign in ("+", "-", "*", "/")},
    **{
        sign: [
            *_PAIRS,
            *(
                ("text", "text"),
                ("uuid", "uuid"),
                ("timestamptz", "timestamptz"),
                ("text", "varchar"),
            ),
            *(("timestamptz", "timestamp"), ("name", "text"), ("text", "name"), ("bytea", "bytea")),
        ]
        for sign in ("=", "<>", "<", "<=", ">", ">=")
    },
    "||": [("text", "text"), ("text", "bigint"), ("text[]", "text[]"), ("text", "integer")],
    "<<": [("bigint", "integer"), ("bigint", "bigint")],
    ">>": [("bigint", "integer"), ("bigint", "bigint")],
    "&": [("bigint", "bigint"), ("bigint", "integer")],
    "->": [("json", "text"), ("jsonb", "text")],
    "->>": [("json", "text"), ("jsonb", "text")],
    "~": [("text", "text"), ("name", "text")],
    "~~": [("text", "text")],
}
_FUNCTIONS = {
    "to_timestamp": ["numeric", "float8", "integer", "bigint"],
    "octet_length": ["varchar", "text", "json"],
    "make_interval": ["numeric", "integer"],
    "date_bin": ["interval, timestamptz, timestamptz", "text, timestamptz, text"],
    "date_trunc": ["text, timestamptz, text"],
    "date_part": ["text, timestamptz"],
    "to_char": ["date, text", "timestamptz, text"],
    "to_date": ["text, text"],
    "right": ["text, integer", "name, integer"],
    "starts_with": ["text, text", "varchar, text"],
    "string_to_array": ["text, text"],
    "array_to_string": ["text[], text"],
    "cardinality": ["text[]", "uuid[]"],
    "generate_series": ["integer, integer", "bigint, bigint"],
    "unnest": ["text[]", "bigint[]", "uuid[]"],
    "floor": ["numeric", "float8"],
    "hashtext": ["text"],
    "now": [""],
    "clock_timestamp": [""],
    "random": [""],
    "pg_backend_pid": [""],
    "to_regclass": ["text"],
    "current_setting": ["text"],
    "set_config": ["text, text, boolean"],
    "pg_try_advisory_lock": ["bigint"],
    "pg_notify": ["text, text"],
    "setval": ["regclass, bigint"],
    "lower": ["text"],
    "md5": ["text"],
    "max": ["bigint"],
    "min": ["bigint"],
    "count": [""],
}


async def occupy_public(connection: Connection) -> int:
    """Create in schema public what our statements could call by mistake. Return how many.

    A producer could do so: `connection` needs only CREATE in public. A call of one of these
    operators and functions fails with the message `taken over by <role>`.
    """
    await connection.execute(
        """CREATE FUNCTION public.taken_over() RETURNS void LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'taken over by %', current_user; END $$"""
    )
    made = 0
    for sign, pairs in _OPERATORS.items():
        for left, right in pairs:
            # Computed here: what the role's own session asks for would be taken over as well.
            result = "boolean" if sign[0] in "=<>~" and sign not in {"<<", ">>"} else left
            name = f"operator_{made}"
            body = "BEGIN PERFORM public.taken_over(); RETURN NULL; END"
            await connection.execute(
                f"""CREATE FUNCTION public.{name}({left}, {right}) RETURNS {result}
                    LANGUAGE plpgsql AS $$ {body} $$;
                    CREATE OPERATOR public.{sign} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = public.{name})"""
            )
            made += 1
    for name, signatures in _FUNCTIONS.items():
        for arguments in signatures:
            await connection.execute(
                f"""CREATE FUNCTION public."{name}"({arguments}) RETURNS text LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM public.taken_over(); RETURN NULL; END $$"""
            )
            made += 1
    return made
