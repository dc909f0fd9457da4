"""List the server settings that the statements rely on, with the reason for each.

A role, a database, the server's configuration and the DSN can all change a setting for new
connections (`ALTER ROLE … SET`, `ALTER DATABASE … SET`, `options=-c …`). Every connection sets each
of these settings itself. Otherwise an administrator's choice for other programs could break it.

Some settings stay as the server has them, on purpose: those that describe the machine (work_mem,
page costs, effective_cache_size, parallel maintenance), logging, keepalives, and `role`, because a
login role may have to become another role.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import asyncpg

from dispatcher.store.statements import statement


class Setting(NamedTuple):
    """One server setting: its name, the value to set, and what breaks with another value."""

    name: str
    value: str
    reason: str


TABLE: Final = (
    # Functions: which ones run.
    Setting(
        "search_path",
        "pg_catalog, pg_temp",
        "Otherwise a role that may create in public makes an operator that fits better than"
        " PostgreSQL's own, and our sessions run it with our rights.",
    ),
    Setting(
        "row_security",
        "off",
        "A policy that hides rows raises an error; otherwise events would be missing silently.",
    ),
    # Transactions.
    Setting(
        "default_transaction_isolation",
        "read committed",
        "Statements wait for one another's rows and go on; a stricter level raises errors instead.",
    ),
    Setting("default_transaction_read_only", "off", "Everything we do writes."),
    Setting("default_transaction_deferrable", "off", "A deferrable transaction waits to begin."),
    Setting(
        "synchronous_commit",
        "on",
        "What the API answered and events of our own survive a crash. Sessions that can do their"
        " work again turn it off.",
    ),
    # Time limits. Each session overrides statement_timeout and lock_timeout.
    Setting(
        "statement_timeout",
        "10000",
        "Our limit, not the role's: a shorter one ends sound work, none at all keeps a stage"
        " waiting.",
    ),
    Setting("lock_timeout", "5000", "As statement_timeout."),
    Setting(
        "idle_in_transaction_session_timeout",
        "10000",
        "A process that was stopped inside a transaction does not keep its locks.",
    ),
    Setting(
        "idle_session_timeout",
        "0",
        "A session of ours may be idle for hours; listening must not end.",
    ),
    # The meaning of values and of statements.
    Setting("array_nulls", "on", "NULL in an array that arrives as text is no value, not a word."),
    Setting("transform_null_equals", "off", "x = NULL keeps its meaning."),
    Setting("standard_conforming_strings", "on", "A backslash in a pattern is a backslash."),
    Setting("client_encoding", "UTF8", "Payloads are kept byte for byte."),
    Setting("TimeZone", "UTC", "Days of partitions and buckets of statistics are UTC's."),
    Setting("timezone_abbreviations", "Default", "As TimeZone."),
    Setting("DateStyle", "ISO, MDY", "Times that are written as text are read back as the same."),
    Setting("IntervalStyle", "postgres", "As DateStyle, for intervals."),
    Setting("bytea_output", "hex", "As DateStyle, for bytes."),
    Setting("extra_float_digits", "1", "As DateStyle, for epoch seconds: no digit is lost."),
    Setting("quote_all_identifiers", "off", "Names of partitions are compared as text."),
    Setting("check_function_bodies", "on", "A migration that is wrong fails when it is applied."),
    Setting(
        "client_min_messages", "warning", "Debugging output would be sent with every statement."
    ),
    Setting("exit_on_error", "off", "A refused value must not cost the connection."),
    Setting(
        "log_parameter_max_length_on_error",
        "0",
        "Payloads and secrets must not get into the server's log.",
    ),
    # Where new tables are created.
    Setting("default_tablespace", "", "New partitions lie beside the others: the database's own."),
    Setting("temp_tablespaces", "", "As default_tablespace; sorting must not need another right."),
    Setting("default_table_access_method", "heap", "Rows are locked and updated in place."),
    # Plans. Each statement is written for an index. With a plan type switched off, the planner
    # would choose a worse one.
    Setting("jit", "off", "Compiling takes longer than the short statements we run."),
    Setting(
        "plan_cache_mode", "auto", "Sessions that read partitions by value force custom plans."
    ),
    Setting(
        "max_parallel_workers_per_gather",
        "0",
        "Reads by an index need no workers, and must not wait for those of others.",
    ),
    Setting("from_collapse_limit", "8", "Joins are planned, not made in the order of the text."),
    Setting("join_collapse_limit", "8", "As from_collapse_limit."),
    Setting("geqo", "on", "As from_collapse_limit."),
    Setting(
        "geqo_threshold", "12", "As from_collapse_limit: below it, plans are not left to luck."
    ),
    Setting("constraint_exclusion", "partition", "Planning stays cheap."),
    Setting(
        "enable_partition_pruning", "on", "Otherwise every read touches every day's partition."
    ),
    Setting("enable_partitionwise_join", "off", "Planning would grow with the number of days."),
    Setting("enable_partitionwise_aggregate", "off", "As enable_partitionwise_join."),
    *(
        Setting(f"enable_{way}", "on", "The way that a statement was written for must be open.")
        for way in (
            "bitmapscan",
            "hashagg",
            "hashjoin",
            "incremental_sort",
            "indexonlyscan",
            "indexscan",
            "material",
            "memoize",
            "mergejoin",
            "nestloop",
            "seqscan",
            "sort",
            "tidscan",
        )
    ),
)
"""Every server from PostgreSQL 14 on knows these, and every role may set them."""

AFTERWARDS: Final = (
    Setting(
        "plpgsql.extra_errors",
        "none",
        "Released migrations and their functions were written without these checks.",
    ),
    Setting("plpgsql.extra_warnings", "none", "As plpgsql.extra_errors."),
    Setting(
        "transaction_timeout",
        "0",
        "Known from PostgreSQL 17 on. Building an index in migrate takes as long as it takes.",
    ),
    Setting(
        "session_replication_role",
        "origin",
        "As replica, triggers do not fire: our own events would never be sent. Only a superuser"
        " may change it, so it is touched only where it is wrong.",
    ),
)
"""Set after connecting, and only where the value differs.

Older servers do not know all of them. Those of PL/pgSQL are set even if the server does not know
them yet, because it loads PL/pgSQL only when the first function in that language is called.
"""


class SettingRefusedError(Exception):
    """The server has a setting that dispatcher cannot work with and must not change."""


def connection_settings(application: str, overrides: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings of one connection: the whole table, then `overrides`, and its name.

    `application` is shown in pg_stat_activity after `dispatcher/`. Names of settings ignore case,
    so an override replaces the table's value however it is spelled.
    """
    named = {setting.name.lower(): (setting.name, setting.value) for setting in TABLE}
    named.update({name.lower(): (name, value) for name, value in overrides.items()})
    return MappingProxyType(
        {"application_name": f"dispatcher/{application}", **dict(named.values())}
    )


async def finish(connection: "asyncpg.Connection[Any]", *, timeout_seconds: float) -> str:
    """Set the settings that not every server knows or not every role may set. Return our role.

    Raise SettingRefusedError if a setting is wrong and only a superuser may change it.
    """
    try:
        rows = await connection.fetch(
            statement("connection_settings/finish"),
            [setting.name for setting in AFTERWARDS],
            [setting.value for setting in AFTERWARDS],
            timeout=timeout_seconds,
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise SettingRefusedError(
            f"{error.args[0]}: the role, the database or the server gives it a value with which"
            " dispatcher cannot work. Have a superuser reset it there"
        ) from error
    return str(rows[0]["role"])
