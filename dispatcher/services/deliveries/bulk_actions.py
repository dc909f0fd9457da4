"""Retry or cancel all deliveries that a filter selects or a list of ids names, of any webhooks.

A bulk action is counted before it starts. It concerns the deliveries that existed then, from the
newest to the oldest. A delivery that no longer matches when its turn comes is left as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Final, Literal
from uuid import UUID

import orjson

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.core.model import Status
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.deliveries import delivery_criteria
from dispatcher.services.deliveries.preview_limits import COUNT_LIMIT, COUNT_SECONDS
from dispatcher.services.inputs.bulk_action_inputs import BulkFilters, NewBulkAction
from dispatcher.services.public_ids import bulk_action_number, no_bulk_action, no_webhook
from dispatcher.store.queries import bulk_actions as stored
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.queries.history import HistoryFilter
from dispatcher.store.session import Queryable, without_locks

COUNT_STEP_LIMIT: Final = 1_000
"""Deliveries that one step counts."""
RUNNING_LIMIT: Final = 5
"""Bulk actions of one environment that run at the same time."""


@dataclass(frozen=True, slots=True)
class BulkCount:
    """The number of deliveries that match. `more` is true if counting stopped early.

    `below` is the id below which they are: deliveries that are made later do not count. To change
    exactly these, give it with the action.
    """

    number: int
    more: bool
    below: str


@dataclass(frozen=True, slots=True)
class BulkActionFilters:
    """The filters of a bulk action. A delivery must match every one that is not null."""

    status: Status | None
    event: str | None
    since: datetime | None
    until: datetime
    response_status: str | None
    error_code: str | None
    reference: str | None
    webhook_id: UUID | None

    @classmethod
    def of(cls, criteria: HistoryFilter) -> "BulkActionFilters":
        """Return the filters of the store as people give them."""
        return cls(
            status=criteria.status,
            event=criteria.type,
            since=ids.created_at(criteria.low) if criteria.low else None,
            until=ids.created_at(criteria.high),
            response_status=delivery_criteria.code_pattern(criteria.code_from, criteria.code_to),
            error_code=criteria.outcome,
            reference=criteria.reference,
            webhook_id=criteria.endpoint_id,
        )

    @classmethod
    def from_audit(cls, filters: object) -> "BulkActionFilters | None":
        """Return the filters that the detail of an audit entry has.

        Return None if it has none that can be read, or if the deliveries were named one by one.
        """
        try:
            criteria = stored.from_json(orjson.dumps(filters).decode())
            return None if criteria.high == ids.LARGEST_ID else cls.of(criteria)
        except (TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class BulkAction:
    """One bulk action.

    `filters` is null if the deliveries were named one by one; `delivery_ids` names these, and is
    null with filters. `total` was counted at the start, or is null if counting stopped early.
    `made` counts the deliveries that were retried or cancelled. `skipped` counts the others by
    reason: `changed` (in another status by now), `deleted` and `disabled` (the webhook), `dropped`
    (the event is no longer kept), `attempts` (there were too many), and `in_progress`. Everything
    down to the time `reached` is done. `error` is why the last step failed.
    """

    id: str
    environment_id: str
    action: Literal["retry", "cancel"]
    filters: BulkActionFilters | None
    rate: int | None
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    total: int | None
    made: int
    skipped: Mapping[str, int]
    reached: datetime
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    delivery_ids: tuple[str, ...] | None

    @classmethod
    def from_row(cls, row: stored.BulkActionRow) -> "BulkAction":
        """Return the bulk action of its row."""
        return cls(
            id=f"{ids.BULK_ACTION_PREFIX}_{row['id']}",
            environment_id=row["environment_id"],
            action=row["action"],
            filters=None
            if row["ids"] is not None
            else BulkActionFilters.of(stored.from_json(row["criteria"])),
            rate=row["rate"],
            state=row["state"],
            total=row["total"],
            made=row["made"],
            skipped=orjson.loads(row["skipped"]),
            reached=min(row["created_at"], ids.created_at(row["position"])),
            error=row["error"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
            delivery_ids=None
            if row["ids"] is None
            else tuple(ids.delivery_name(number) for number in row["ids"]),
        )


class BulkActions:
    """The bulk actions of environments.

    The methods also raise StoreError and StatementTimeoutError.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._session = session
        self._stored = stored.BulkActions(session)
        self._search = DeliverySearch(without_locks(session))
        self._journal = Journal(session, actor)

    async def count(self, environment_id: str, form: NewBulkAction, now: datetime) -> BulkCount:
        """Count what a bulk action would retry or cancel, for about COUNT_SECONDS at most.

        Deliveries that are named one by one are counted without a look-up. Raise InvalidError if
        the action cannot apply to what the filter selects, and NotFoundError for an unknown
        webhook.
        """
        criteria = _criteria(form, now)
        below = ids.delivery_name(criteria.high)
        if form.delivery_ids:
            return BulkCount(len(_numbers(form)), more=False, below=below)
        deadline = monotonic() + COUNT_SECONDS
        number, high = 0, criteria.high
        while True:
            page = await self._search.page(
                environment_id, replace(criteria, high=high), COUNT_STEP_LIMIT
            )
            if page is None:
                raise no_webhook(criteria.endpoint_id)
            number += len(page.items)
            if page.next is None or number >= COUNT_LIMIT or monotonic() >= deadline:
                return BulkCount(number, more=page.next is not None, below=below)
            high = page.next

    async def start(
        self, environment_id: str, form: NewBulkAction, total: BulkCount, now: datetime
    ) -> BulkAction:
        """Start a bulk action. Call this in a transaction. Daemons begin within about a second.

        `total` is the result of `count`. Raise InvalidError, or ConflictError if RUNNING_LIMIT are
        running.
        """
        criteria = _criteria(form, now)
        if form.delivery_ids:
            criteria = replace(criteria, high=ids.LARGEST_ID)
        await self._stored.lock(environment_id)
        row = await self._stored.start(
            environment_id,
            form.action,
            criteria,
            ids=_numbers(form) if form.delivery_ids else None,
            rate=form.rate,
            total=None if total.more else total.number,
            limit=RUNNING_LIMIT,
        )
        if row is None:
            raise ConflictError(
                f"{RUNNING_LIMIT} bulk actions of this environment are running."
                " Wait until one ends, or cancel it."
            )
        started = BulkAction.from_row(row)
        await self._journal.note(
            f"delivery.{form.action}_many",
            started.id,
            environment_id,
            deliveries=None if total.more else total.number,
            filters=orjson.loads(row["criteria"]),
            **({} if started.delivery_ids is None else {"ids": started.delivery_ids}),
        )
        return started

    async def list(
        self, environment_id: str, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[BulkAction, int]:
        """Return the bulk actions of an environment, newest first."""
        rows = await self._stored.list(environment_id, before=before, limit=limit + 1)
        return Page.of(rows, limit, make=BulkAction.from_row, key=lambda row: row["id"])

    async def get(self, environment_id: str, action_id: str) -> BulkAction:
        """Return one bulk action. Raise NotFoundError if there is none."""
        row = await self._stored.get(environment_id, bulk_action_number(action_id))
        if row is None:
            raise no_bulk_action(action_id)
        return BulkAction.from_row(row)

    async def cancel(self, environment_id: str, action_id: str) -> BulkAction:
        """Cancel a bulk action; no delivery is changed after the commit.

        Call this in a transaction.

        Raise ConflictError if it has ended. Return a cancelled one unchanged.
        """
        row = await self._stored.cancel(environment_id, bulk_action_number(action_id))
        if row is None:
            over = await self.get(environment_id, action_id)
            if over.state != "CANCELLED":
                raise ConflictError(
                    f"The bulk action {action_id} is {over.state}. Only a running one can be"
                    " cancelled."
                )
            return over
        cancelled = BulkAction.from_row(row)
        await self._journal.note(
            "delivery.cancel_bulk_action", cancelled.id, environment_id, made=cancelled.made
        )
        return cancelled


def _criteria(form: NewBulkAction, now: datetime) -> HistoryFilter:
    """Return the filter of a bulk action, without what is made after `now`. Raise InvalidError."""
    filters = form.filters or BulkFilters()
    before = None
    if form.below is not None:
        before = _delivery_id("below", form.below, "must be the id of a delivery, dlv_…")
    criteria = delivery_criteria.of_deliveries(
        filters, webhook_id=filters.webhook_id, before=before
    )
    criteria = replace(criteria, high=min(criteria.high, ids.first_since(now)))
    if form.action != "cancel":
        return criteria
    if criteria.status not in (None, "PENDING"):
        raise InvalidError.field(
            "status", "must be pending or any: only pending deliveries can be cancelled"
        )
    return replace(criteria, status="PENDING")


def _numbers(form: NewBulkAction) -> list[int]:
    """Return the numbers of the deliveries that are named, each once."""
    problem = "must be ids of deliveries, dlv_…"
    numbers = {_delivery_id("delivery_ids", name, problem) for name in form.delivery_ids}
    return sorted(numbers, reverse=True)


def _delivery_id(field: str, name: str, problem: str) -> int:
    try:
        return ids.parse(ids.DELIVERY_PREFIX, name)
    except ValueError:
        raise InvalidError.field(field, problem) from None
