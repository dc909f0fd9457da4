"""The types of rows, against the columns that PostgreSQL describes for each statement."""

from datetime import datetime
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest

from dispatcher.core.model import ChangeNoticeRow, DeliveryRow
from dispatcher.store.queries import (
    audit,
    bulk_actions,
    daemons,
    dashboard_sessions,
    delivery_actions,
    delivery_search,
    endpoint_search,
    endpoints,
    environments,
    event_outcomes,
    event_types,
    events,
    history,
    inbox,
    pauses,
    quarantine,
    queues,
    replays,
    sealed_values,
    statistics,
    tokens,
)
from dispatcher.store.statements import statement
from tests.conftest import Connection

ROWS: dict[type[Any], tuple[str, ...]] = {
    DeliveryRow: ("deliveries/due", "deliveries/parked", "deliveries/parked_in_order"),
    ChangeNoticeRow: ("change_notices/waiting",),
    audit.AuditNameRow: ("audit/names",),
    audit.AuditRow: ("audit/list", "audit/of_actor", "audit/of_subject"),
    bulk_actions.BulkActionRow: (
        "bulk_actions/cancel",
        "bulk_actions/get",
        "bulk_actions/list",
        "bulk_actions/start",
    ),
    bulk_actions.ClaimedBulkActionRow: ("bulk_actions/claim",),
    replays.ClaimedReplayRow: ("replays/claim",),
    daemons.DaemonRow: ("daemons/list",),
    dashboard_sessions.DashboardSessionRow: ("dashboard_sessions/get",),
    delivery_search.CauseRow: ("delivery_search/causes",),
    delivery_actions.DeliveryStateRow: ("delivery_actions/find",),
    endpoint_search.BrowsedEndpointsRow: ("endpoint_search/browse",),
    endpoint_search.FoundEndpointsRow: ("endpoint_search/find",),
    endpoints.DisabledEndpointRow: ("endpoints/disable",),
    endpoints.EndpointNameRow: ("endpoints/names", "endpoints/search"),
    endpoints.EndpointRow: ("endpoints/list", "endpoints/for_people"),
    endpoints.UnwellEndpointRow: ("endpoints/unwell",),
    endpoints.SealedEndpointRow: ("endpoints/get",),
    endpoints.SendingEndpointRow: ("endpoints/for_sending",),
    environments.EnvironmentNameRow: ("environments/names",),
    environments.RenamedEnvironmentRow: ("environments/rename",),
    environments.EnvironmentRow: (
        "environments/create",
        "environments/get",
        "environments/list",
        "environments/search",
    ),
    event_outcomes.EventOutcomeRow: ("event_outcomes/of_events",),
    event_types.EventTypeRow: (
        "event_types/get",
        "event_types/list",
        "event_types/named",
        "event_types/outline",
        "event_types/put",
    ),
    events.EventRow: ("events/with_ids",),
    events.EventToSendRow: ("events/to_send",),
    history.AttemptRow: ("history/attempts",),
    history.DeliveryItemRow: ("history/items",),
    history.EventItemRow: ("history/event_items",),
    inbox.FannedOutRow: ("inbox/fan_out", "inbox/fan_out_plain", "inbox/fan_out_slice"),
    inbox.InboxRow: ("inbox/quarantine",),
    pauses.ConfiguredPauseRow: ("pauses/configured",),
    pauses.PauseRow: ("pauses/current",),
    pauses.PauseTotalsRow: ("pauses/totals",),
    pauses.EnvironmentPausesRow: ("pauses/of_environment",),
    queues.WaitingRow: ("queues/waiting",),
    quarantine.LeftQuarantineRow: ("quarantine/discard", "quarantine/release"),
    quarantine.QuarantineRow: ("quarantine/get", "quarantine/list"),
    sealed_values.SealedValuesRow: ("sealed_values/list",),
    replays.ReplayRow: ("replays/cancel", "replays/get", "replays/list", "replays/start"),
    statistics.BacklogSampleRow: ("statistics/backlog_series",),
    statistics.BacklogRow: ("statistics/backlog", "statistics/backlog_of_all"),
    statistics.EndpointSumsRow: ("statistics/of_endpoints",),
    statistics.FiguresRow: ("statistics/figures",),
    statistics.IntervalRow: ("statistics/series",),
    statistics.PendingRow: ("statistics/pending_by_state", "statistics/pending_of_environment"),
    statistics.SpeedRow: ("statistics/speed",),
    tokens.NewTokenRow: ("tokens/create",),
    tokens.RevokedTokenRow: ("tokens/revoke",),
    tokens.AuthenticatedTokenRow: ("tokens/authenticate",),
    tokens.TokenRow: ("tokens/list",),
}

PYTHON_TYPES: dict[str, object] = {
    "bool": bool,
    "bytea": bytes,
    "float8": float,
    "int2": int,
    "int4": int,
    "int8": int,
    "json": str,
    "jsonb": str,
    "text": str,
    "timestamptz": datetime,
    "uuid": UUID,
}


def plain(hint: object) -> object:
    """Return the type that the driver makes: without None, and a name's own type."""
    alternatives = [member for member in get_args(hint) if member is not NoneType]
    if get_origin(hint) is Literal:
        return str
    if NoneType in get_args(hint):
        return plain(alternatives[0])
    return getattr(hint, "__supertype__", hint)


def python_type(name: str) -> object:
    return list[PYTHON_TYPES[name[:-2]]] if name.endswith("[]") else PYTHON_TYPES[name]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in ROWS.items() for name in names]
)
async def test_a_row_has_the_columns_of_its_statement(
    shared_connection: Connection, kind: type[Any], name: str
) -> None:
    described = (await shared_connection.prepare(statement(name))).get_attributes()
    columns = {
        column.name: python_type(column.type.name)
        for column in described
        if column.type.name != "void"  # a function that was called for its effect
    }
    assert {key: plain(hint) for key, hint in get_type_hints(kind).items()} == columns
