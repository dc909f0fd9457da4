"""The methods of the API for webhooks and their deliveries."""

from collections.abc import Sequence
from typing import Any

from dispatcher.client import requests
from dispatcher.client.call import ApiMethod, C, Call, CollectedListing, ItemIterator, MethodGroup
from dispatcher.client.requests import Id, Moment, path
from dispatcher.client.resources import Page, Resource, resource
from dispatcher.receiver import construct_event


class Webhooks(MethodGroup[C]):
    """The methods for webhooks."""

    construct_event = staticmethod(construct_event)
    """See dispatcher.receiver."""

    @ApiMethod
    def create(self, /, url: str, events: Sequence[str], **more: Any) -> Call[Resource]:
        """Create a webhook and return it with its `secret`, which is shown only this once.

        `more` is `name`, `description`, `active`, `headers`, `authentication`, `tls`, `rate_limit`
        and so on: see /openapi.json. There is no `secret` if the first response was lost and the
        request was repeated: in that case rotate the secret.
        """
        return requests.post(path("webhooks"), {"url": url, "events": list(events), **more})

    @CollectedListing
    def list(self, *, search: str | None = None, state: str | None = None) -> Call[Page]:
        """Return all webhooks, oldest first.

        With `search`, return only those with this text in their name or URL. With `state`, return
        only those that are `active`, `failing`, `resting` or `disabled`.
        """
        return requests.listing(path("webhooks"), search=search, state=state)

    @ApiMethod
    def get(self, webhook_id: Id) -> Call[Resource]:
        """Return one webhook."""
        return requests.get(path("webhooks", webhook_id))

    @ApiMethod
    def update(self, /, webhook_id: Id, **changes: Any) -> Call[Resource]:
        """Change the given fields of a webhook. None resets a field to its default."""
        body = requests.body(changes)
        return Call("PATCH", path("webhooks", webhook_id), resource, body=body)

    @ApiMethod
    def delete(self, webhook_id: Id) -> Call[None]:
        """Delete a webhook.

        Nothing more is sent to it, and its pending deliveries are cancelled.
        """
        return requests.delete(path("webhooks", webhook_id))

    @ApiMethod
    def rotate_secret(self, webhook_id: Id, *, overlap_seconds: int = 0) -> Call[Resource]:
        """Replace the secret and return the webhook with its new `secret`, shown only this once.

        The old secret also signs for `overlap_seconds`.
        """
        return Call(
            "POST",
            path("webhooks", webhook_id, "rotate_secret"),
            resource,
            body=requests.body({"overlap_seconds": overlap_seconds}),
            repeatable=False,  # otherwise the secret of the first response is lost
        )

    @ApiMethod
    def test_ping(self, webhook_id: Id) -> Call[Resource]:
        """Send a `webhook.test` event to the webhook and return its delivery."""
        return requests.post(path("webhooks", webhook_id, "test"), {})

    @ApiMethod
    def list_deliveries(
        self,
        webhook_id: Id,
        *,
        status: str | None = None,
        event: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of the webhook's deliveries, newest first.

        `status` is PENDING, DELIVERED, FAILED or CANCELLED. `event` is a type, or `user.*` for all
        types below `user`.
        """
        return requests.listing(
            path("webhooks", webhook_id, "deliveries"),
            status=status,
            event=event,
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )

    each_delivery = ItemIterator(list_deliveries)

    @ApiMethod
    def recover(
        self,
        webhook_id: Id,
        since: Moment,
        *,
        until: Moment | None = None,
        missed: bool = True,
        rate: int | None = None,
        dry_run: bool = False,
    ) -> Call[Resource]:
        """Replay what failed between `since` and `until`, at most `rate` deliveries a second.

        With `missed`, also send the events that the webhook missed. The replay runs in the daemon:
        `recovery` returns its progress. With `dry_run` nothing is sent, and only `failed` and
        `missed` are counted.
        """
        fields = {
            "since": since,
            "until": until,
            "missed": missed,
            "rate": rate,
            "dry_run": dry_run,
        }
        return requests.post(path("webhooks", webhook_id, "recover"), fields)

    @ApiMethod
    def recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """Return a replay with its progress."""
        return requests.get(path("webhooks", webhook_id, "recoveries", recovery_id))

    @ApiMethod
    def list_recoveries(
        self, webhook_id: Id, *, cursor: str | None = None, limit: int | None = None
    ) -> Call[Page]:
        """Return a page of the webhook's replays, newest first."""
        return requests.listing(
            path("webhooks", webhook_id, "recoveries"), cursor=cursor, limit=limit
        )

    each_recovery = ItemIterator(list_recoveries)

    @ApiMethod
    def cancel_recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """Cancel a replay. It creates no more deliveries; those that exist are sent."""
        return requests.post(path("webhooks", webhook_id, "recoveries", recovery_id, "cancel"), {})
