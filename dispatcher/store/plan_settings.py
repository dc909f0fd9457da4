"""How statements of the daemon are planned: settings of its sessions, by a session's name.

The tables that queue are empty most of the time and full when it matters, so that statistics are
wrong when it matters. The planner is left no choice that they could mislead: every table is read by
an index in its order; a look-up, a row of one table for a row of another, is written as LATERAL with
OFFSET 0 or by an array of ids; everything else that is joined is small, and hashed.
"""

from collections.abc import Mapping

PINNED: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",  # it has no order: all of a backlog would be read and sorted
    "enable_sort": "off",  # where an index has the order, it is read in that order
    "enable_incremental_sort": "off",
    "enable_mergejoin": "off",  # it would read a whole table in order
    "enable_nestloop": "off",  # but where the statement's shape demands it
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",  # one plan, made once
}
PRUNED: Mapping[str, str] = {"plan_cache_mode": "force_custom_plan"}
"""Only with the ids at hand are partitions left out when a statement is planned."""

_BY_SESSION: Mapping[str, Mapping[str, str]] = {
    "lease": PINNED,
    "fanout": PINNED,
    "examine": {**PINNED, **PRUNED},
    "refill": PINNED,
    "endpoints": PINNED,
    "bodies": {**PINNED, **PRUNED},
    "record": PINNED,
    "upkeep": {**PINNED, **PRUNED},
    "statistics": PINNED,
}


def plan_settings(session: str) -> Mapping[str, str]:
    """Return the settings of a session; those of people's sessions for a name not listed."""
    return _BY_SESSION.get(session, PRUNED)
