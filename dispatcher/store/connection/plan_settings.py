"""Choose the planner settings of each of the daemon's sessions.

The queue tables are empty most of the time and full under load, so their statistics are wrong under
load. These settings leave the planner no choice that wrong statistics could mislead. Every table is
read by an index, in its order. A lookup of one row per row is written as LATERAL with OFFSET 0 or
as an array of ids. Every other join is small, and uses a hash.
"""

from collections.abc import Mapping

PINNED: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",  # a bitmap has no order: the whole backlog would be read and sorted
    "enable_sort": "off",  # an index that has the order is read in that order
    "enable_incremental_sort": "off",
    "enable_mergejoin": "off",  # it would read a whole table in order
    "enable_nestloop": "off",  # except where the statement's shape requires it
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",  # one plan, made once
}
PRUNED: Mapping[str, str] = {"plan_cache_mode": "force_custom_plan"}
"""Partitions are pruned at planning only if the ids are known then."""

_BY_SESSION: Mapping[str, Mapping[str, str]] = {
    "lease": PINNED,
    "fanout": PINNED,
    "schema_check": {**PINNED, **PRUNED},
    "load": PINNED,
    "endpoints": PINNED,
    "bodies": {**PINNED, **PRUNED},
    "record": PINNED,
    "upkeep": {**PINNED, **PRUNED},
    "statistics": PINNED,
}


def plan_settings(session: str) -> Mapping[str, str]:
    """Return the settings of a session. An unlisted name gets those of requests of people."""
    return _BY_SESSION.get(session, PRUNED)
