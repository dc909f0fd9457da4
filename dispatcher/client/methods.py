"""The methods of the API, one group for each kind of resource."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.client import requests
from dispatcher.client.call import (
    ApiMethod,
    AsyncCaller,
    C,
    Call,
    CollectedListing,
    GroupAttribute,
    ItemIterator,
    MethodGroup,
    SyncCaller,
)
from dispatcher.client.operations import Audit, BulkActions, Quarantine, Stats
from dispatcher.client.requests import Id, Moment, path
from dispatcher.client.resources import Page, Resource, resource
from dispatcher.client.webhooks import Webhooks


class Deliveries(MethodGroup[C]):
    """The methods for deliveries: each is one event for one webhook."""

    @ApiMethod
    def list(
        self,
        *,
        status: str | None = None,
        event: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        response_status: str | None = None,
        error_code: str | None = None,
        reference: str | None = None,
        webhook_id: Id | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of the deliveries of all webhooks, newest first."""
        return requests.listing(
            path("deliveries"),
            status=status,
            event=event,
            since=since,
            until=until,
            response_status=response_status,
            error_code=error_code,
            reference=reference,
            webhook_id=webhook_id,
            cursor=cursor,
            limit=limit,
        )

    each = ItemIterator(list)

    @ApiMethod
    def get(self, delivery_id: str) -> Call[Resource]:
        """Return one delivery, with its newest 200 attempts in `attempt_list`."""
        return requests.get(path("deliveries", delivery_id))

    @ApiMethod
    def retry(self, delivery_id: str) -> Call[Resource]:
        """Send a delivery again, even if it ended. If it is pending, send it now."""
        return requests.post(path("deliveries", delivery_id, "retry"), {})

    @ApiMethod
    def cancel(self, delivery_id: str) -> Call[Resource]:
        """Cancel a delivery. No further attempt starts."""
        return requests.post(path("deliveries", delivery_id, "cancel"), {})


class Events(MethodGroup[C]):
    """The methods for events."""

    @ApiMethod
    def emit(
        self,
        type: str,
        data: Any = None,
        *,
        idempotency_key: str | None = None,
        reference: str | None = None,
    ) -> Call[Resource]:
        """Emit an event and return it. For a key that was used before, return the first event.

        `data` that is a JsonText is sent as it is, byte for byte. `reference` is your name for what
        the event is about: people can search for it.
        """
        fields = {"type": type, "data": data}
        if reference is not None:
            fields["reference"] = reference
        return requests.post(path("events"), fields, key=idempotency_key)

    @ApiMethod
    def emit_many(
        self, events: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> Call[Page]:
        """Emit up to 1,000 events, all or none. Return the `id` of each, in the same order.

        Each event has a `type`, and may have `data`, an `idempotency_key` and a `reference`. For
        one whose key was used before, the `id` is that of the first event, and `repeated` is True.
        `idempotency_key` is that of the whole request.
        """
        bodies = [requests.body({"data": None, **event}) for event in events]
        return requests.post_many(path("events"), bodies, key=idempotency_key)

    @ApiMethod
    def list(
        self,
        *,
        id: str | None = None,
        type: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        reference: str | None = None,
        outcome: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of events, newest first.

        With `outcome`, each says in `outcome` how its deliveries went.
        """
        return requests.listing(
            path("events"),
            id=id,
            type=type,
            since=since,
            until=until,
            reference=reference,
            outcome="true" if outcome else None,
            cursor=cursor,
            limit=limit,
        )

    each = ItemIterator(list)

    @ApiMethod
    def get(self, event_id: str) -> Call[Resource]:
        """Return one event, with its newest deliveries."""
        return requests.get(path("events", event_id))

    @ApiMethod
    def list_deliveries(
        self, event_id: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Call[Page]:
        """Return a page of the event's deliveries, newest first."""
        url = path("events", event_id, "deliveries")
        return requests.listing(url, cursor=cursor, limit=limit)

    each_delivery = ItemIterator(list_deliveries)


class EventTypes(MethodGroup[C]):
    """The methods for the catalogue of event types."""

    @CollectedListing
    def list(self) -> Call[Page]:
        """Return all event types, by name."""
        return requests.listing(path("event-types"))

    @ApiMethod
    def get(self, name: str) -> Call[Resource]:
        """Return one event type."""
        return requests.get(path("event-types", name))

    @ApiMethod
    def put(self, /, name: str, **fields: Any) -> Call[Resource]:
        """Create or change an event type: `description`, `example`, `schema`, `enforce`.

        Fields that are not given do not change.
        """
        body = requests.body(fields)
        return Call("PUT", path("event-types", name), resource, body=body)

    @ApiMethod
    def delete(self, name: str) -> Call[None]:
        """Remove an event type from the catalogue. Its events are still delivered."""
        return requests.delete(path("event-types", name))


class Tokens(MethodGroup[C]):
    """The methods for API tokens; the caller's token needs the scope `admin`."""

    @ApiMethod
    def create(
        self,
        name: str,
        environment_id: str,
        *,
        scope: str = "read",
        expires_at: Moment | None = None,
    ) -> Call[Resource]:
        """Create a token and return it with its text in `token`, which is shown only this once.

        `environment_id` is the environment that the token is bound to, or `*` for all.
        """
        fields = {
            "name": name,
            "environment_id": environment_id,
            "scope": scope,
            "expires_at": expires_at,
        }
        return requests.post(path("tokens"), fields)

    @ApiMethod
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of tokens, newest first, including those that are revoked or expired."""
        return requests.listing(path("tokens"), cursor=cursor, limit=limit)

    each = ItemIterator(list)

    @ApiMethod
    def revoke(self, token_id: Id) -> Call[None]:
        """Revoke a token: requests with it are rejected from now on."""
        return requests.delete(path("tokens", token_id))


class Environments(MethodGroup[C]):
    """The methods for environments (tenants); the token needs the scope `admin`."""

    @ApiMethod
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of environments, newest first."""
        return requests.listing(path("environments"), cursor=cursor, limit=limit)

    each = ItemIterator(list)

    @ApiMethod
    def create(self, name: str, *, id: str | None = None) -> Call[Resource]:
        """Create an environment. Without an `id`, the API chooses one.

        The token must be one for all environments.
        """
        fields = {"name": name} if id is None else {"name": name, "id": id}
        return requests.post(path("environments"), fields)

    @ApiMethod
    def rename(self, environment_id: str, name: str) -> Call[Resource]:
        """Rename an environment. Its id stays."""
        return Call("PATCH", path("environments", environment_id), resource, body={"name": name})


class Pauses(MethodGroup[C]):
    """The methods for pausing the environment, or with `all` all environments."""

    @ApiMethod
    def get(self) -> Call[Resource]:
        """Return `paused`, `paused_at` and `all_paused_at` of the environment."""
        return requests.get(path("pause"))

    @ApiMethod
    def pause(self, *, all: bool = False) -> Call[Resource]:
        """Pause sending. Events are accepted and delivered later.

        The token needs the scope `admin`.
        """
        return requests.post(path("pause"), {"all": all})

    @ApiMethod
    def resume(self, *, all: bool = False) -> Call[Resource]:
        """Resume sending.

        Raise ConflictError if this environment itself is not paused, but all environments are.
        """
        return requests.post(path("resume"), {"all": all})


class SyncApi(SyncCaller):
    """All methods of the API, in groups. They return the result."""

    webhooks = GroupAttribute(Webhooks[SyncCaller])
    deliveries = GroupAttribute(Deliveries[SyncCaller])
    bulk_actions = GroupAttribute(BulkActions[SyncCaller])
    events = GroupAttribute(Events[SyncCaller])
    event_types = GroupAttribute(EventTypes[SyncCaller])
    environments = GroupAttribute(Environments[SyncCaller])
    tokens = GroupAttribute(Tokens[SyncCaller])
    pauses = GroupAttribute(Pauses[SyncCaller])
    quarantine = GroupAttribute(Quarantine[SyncCaller])
    audit = GroupAttribute(Audit[SyncCaller])
    stats = GroupAttribute(Stats[SyncCaller])


class AsyncApi(AsyncCaller):
    """All methods of the API, in groups. They are coroutines."""

    webhooks = GroupAttribute(Webhooks[AsyncCaller])
    deliveries = GroupAttribute(Deliveries[AsyncCaller])
    bulk_actions = GroupAttribute(BulkActions[AsyncCaller])
    events = GroupAttribute(Events[AsyncCaller])
    event_types = GroupAttribute(EventTypes[AsyncCaller])
    environments = GroupAttribute(Environments[AsyncCaller])
    tokens = GroupAttribute(Tokens[AsyncCaller])
    pauses = GroupAttribute(Pauses[AsyncCaller])
    quarantine = GroupAttribute(Quarantine[AsyncCaller])
    audit = GroupAttribute(Audit[AsyncCaller])
    stats = GroupAttribute(Stats[AsyncCaller])
