"""The methods of the API for operators: bulk actions, quarantine, audit log and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.client import requests
from dispatcher.client.call import ApiMethod, C, Call, ItemIterator, MethodGroup
from dispatcher.client.requests import path
from dispatcher.client.resources import Page, Resource


class BulkActions(MethodGroup[C]):
    """The methods that retry or cancel many deliveries of any webhooks."""

    @ApiMethod
    def start(
        self,
        action: str,
        filters: Mapping[str, Any] | None = None,
        *,
        delivery_ids: Sequence[str] = (),
        below: str | None = None,
        rate: int | None = None,
        dry_run: bool = False,
    ) -> Call[Resource]:
        """Start to `retry` or `cancel` the deliveries that match the filters, or have the ids.

        The filters are those of `deliveries.list`; `{}` matches all. With `dry_run`, only return
        their `number`. To change exactly what was counted, give the `below` of that result. The
        bulk action runs in the daemon, at most `rate` deliveries a second: `get` returns its
        progress. To cancel, the token needs the scope `write`, else `support`.
        """
        fields = {
            "action": action,
            "filters": None if filters is None else requests.body(filters),
            "delivery_ids": list(delivery_ids),
            "below": below,
            "rate": rate,
            "dry_run": dry_run,
        }
        return requests.post(path("bulk-actions"), fields)

    @ApiMethod
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of bulk actions, newest first."""
        return requests.listing(path("bulk-actions"), cursor=cursor, limit=limit)

    each = ItemIterator(list)

    @ApiMethod
    def get(self, bulk_action_id: str) -> Call[Resource]:
        """Return one bulk action with its progress."""
        return requests.get(path("bulk-actions", bulk_action_id))

    @ApiMethod
    def cancel(self, bulk_action_id: str) -> Call[Resource]:
        """Cancel a bulk action. What it has done stays done."""
        return requests.post(path("bulk-actions", bulk_action_id, "cancel"), {})


class Quarantine(MethodGroup[C]):
    """The methods for the quarantine.

    It keeps events that could not be fanned out, and deliveries whose result the database refused.
    """

    @ApiMethod
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of events in quarantine with the reason of each, newest first."""
        return requests.listing(path("quarantine"), cursor=cursor, limit=limit)

    each = ItemIterator(list)

    @ApiMethod
    def get(self, quarantine_id: str) -> Call[Resource]:
        """Return one event in quarantine."""
        return requests.get(path("quarantine", quarantine_id))

    @ApiMethod
    def release(self, quarantine_id: str) -> Call[None]:
        """Release an event from quarantine, so that it is fanned out."""
        return requests.order(path("quarantine", quarantine_id, "release"))

    @ApiMethod
    def discard(self, quarantine_id: str) -> Call[None]:
        """Discard an event in quarantine, so that it is not fanned out.

        A recovery that covers its time still sends it. A delivery in quarantine is cancelled.
        """
        return requests.delete(path("quarantine", quarantine_id))


class Audit(MethodGroup[C]):
    """The methods for the audit log; the token needs the scope `support`."""

    @ApiMethod
    def list(
        self,
        *,
        environment_id: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of changes with the actor of each, newest first.

        The filters match exactly, such as `webhook.create` for `action`.
        """
        return requests.listing(
            path("audit"),
            environmentId=environment_id,
            actor=actor,
            action=action,
            subject=subject,
            cursor=cursor,
            limit=limit,
        )

    each = ItemIterator(list)


class Stats(MethodGroup[C]):
    """The method for the backlog and the results of the last hour."""

    @ApiMethod
    def get(self, *, all: bool = False) -> Call[Resource]:
        """Return the figures of the environment, or with `all` those of all environments."""
        return requests.figures(path("stats"), all="true" if all else None)
