"""The methods of the API for each kind of resource."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from dispatcher.client.call import (
    Awaiting,
    Blocking,
    C,
    Call,
    Group,
    asked,
    collected,
    followed,
    part,
)
from dispatcher.client.resources import (
    Page,
    Resource,
    camel,
    nothing,
    page,
    resource,
)
from dispatcher.receiver import construct_event

Id = str | UUID
Moment = str | datetime
"""A time. As text it is RFC 3339 with an offset, such as `2026-02-26T12:00:00Z`."""


class Webhooks(Group[C]):
    """The methods for webhooks."""

    construct_event = staticmethod(construct_event)
    """See dispatcher.receiver."""

    @asked
    def create(self, /, url: str, events: Sequence[str], **more: Any) -> Call[Resource]:
        """Create a webhook and return it with its `secret`, which is shown only this once.

        `more` is `name`, `description`, `active`, `headers`, `rate_limit`, `timeout` and so on: see
        /openapi.json. There is no `secret` if the first response was lost and the request was
        repeated: in that case rotate the secret.
        """
        body = _body({"url": url, "events": list(events), **more})
        return Call("POST", "/api/webhooks", resource, body=body, key=_key())

    @collected
    def list(self) -> Call[Page]:
        """Return all webhooks, oldest first."""
        return Call("GET", "/api/webhooks", page)

    @asked
    def get(self, webhook_id: Id) -> Call[Resource]:
        """Return one webhook."""
        return Call("GET", _webhook(webhook_id), resource)

    @asked
    def update(self, /, webhook_id: Id, **changes: Any) -> Call[Resource]:
        """Change the given fields of a webhook. None resets a field to its default."""
        return Call("PATCH", _webhook(webhook_id), resource, body=_body(changes))

    @asked
    def delete(self, webhook_id: Id) -> Call[None]:
        """Delete a webhook.

        Nothing more is sent to it, and its pending deliveries are cancelled.
        """
        return Call("DELETE", _webhook(webhook_id), nothing)

    @asked
    def rotate_secret(self, webhook_id: Id, *, overlap_seconds: int = 0) -> Call[Resource]:
        """Replace the secret and return the webhook with its new `secret`, shown only this once.

        The old secret also signs for `overlap_seconds`.
        """
        return Call(
            "POST",
            f"{_webhook(webhook_id)}/rotate_secret",
            resource,
            body=_body({"overlap_seconds": overlap_seconds}),
            repeatable=False,  # otherwise the secret of the first response is lost
        )

    @asked
    def test_ping(self, webhook_id: Id) -> Call[Resource]:
        """Send a `webhook.test` event to the webhook and return its delivery."""
        return Call("POST", f"{_webhook(webhook_id)}/test", resource, body={}, key=_key())

    @asked
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
        query = _query(
            status=status, event=event, since=since, until=until, cursor=cursor, limit=limit
        )
        return Call("GET", f"{_webhook(webhook_id)}/deliveries", page, query)

    each_delivery = followed(list_deliveries)

    @asked
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
        asked_for = {"since": since, "until": until, "missed": missed, "rate": rate}
        body = _body({**asked_for, "dry_run": dry_run})
        return Call("POST", f"{_webhook(webhook_id)}/recover", resource, body=body, key=_key())

    @asked
    def recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """Return a replay with its progress."""
        return Call("GET", _recovery(webhook_id, recovery_id), resource)

    @asked
    def cancel_recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """Cancel a replay. It creates no more deliveries; those that exist are sent."""
        path = f"{_recovery(webhook_id, recovery_id)}/cancel"
        return Call("POST", path, resource, body={}, key=_key())


class Deliveries(Group[C]):
    """The methods for deliveries: each is one event for one webhook."""

    @asked
    def list(
        self,
        *,
        status: str | None = None,
        event: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of the deliveries of all webhooks, newest first."""
        query = _query(
            status=status, event=event, since=since, until=until, cursor=cursor, limit=limit
        )
        return Call("GET", "/api/deliveries", page, query)

    each = followed(list)

    @asked
    def get(self, delivery_id: str) -> Call[Resource]:
        """Return one delivery, with every attempt in `attempt_list`."""
        return Call("GET", _delivery(delivery_id), resource)

    @asked
    def retry(self, delivery_id: str) -> Call[Resource]:
        """Send a delivery again, even if it ended. If it is pending, send it now."""
        return Call("POST", f"{_delivery(delivery_id)}/retry", resource, body={}, key=_key())

    @asked
    def cancel(self, delivery_id: str) -> Call[Resource]:
        """Cancel a delivery. No further attempt starts."""
        return Call("POST", f"{_delivery(delivery_id)}/cancel", resource, body={}, key=_key())


class Events(Group[C]):
    """The methods for events."""

    @asked
    def emit(
        self, type: str, data: Any = None, *, idempotency_key: str | None = None
    ) -> Call[Resource]:
        """Emit an event and return it. For a key that was used before, return the first event.

        `data` that is a JsonText is sent as it is, byte for byte.
        """
        body = {"type": type, "data": data}
        return Call("POST", "/api/events", resource, body=body, key=idempotency_key or _key())

    @asked
    def list(
        self,
        *,
        id: str | None = None,
        type: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page]:
        """Return a page of events, newest first."""
        query = _query(id=id, type=type, since=since, until=until, cursor=cursor, limit=limit)
        return Call("GET", "/api/events", page, query)

    each = followed(list)

    @asked
    def get(self, event_id: str) -> Call[Resource]:
        """Return one event, with its deliveries."""
        return Call("GET", f"/api/events/{_quoted(event_id)}", resource)


class EventTypes(Group[C]):
    """The methods for the catalogue of event types."""

    @collected
    def list(self) -> Call[Page]:
        """Return all event types, by name."""
        return Call("GET", "/api/event-types", page)

    @asked
    def get(self, name: str) -> Call[Resource]:
        """Return one event type."""
        return Call("GET", f"/api/event-types/{_quoted(name)}", resource)

    @asked
    def put(self, /, name: str, **described: Any) -> Call[Resource]:
        """Create or change an event type: `description`, `example`, `schema`, `enforce`.

        Fields that are not given do not change.
        """
        path = f"/api/event-types/{_quoted(name)}"
        return Call("PUT", path, resource, body=_body(described))

    @asked
    def delete(self, name: str) -> Call[None]:
        """Remove an event type from the catalogue. Its events are still delivered."""
        return Call("DELETE", f"/api/event-types/{_quoted(name)}", nothing)


class Tokens(Group[C]):
    """The methods for API tokens; the caller's token needs the scope `admin`."""

    @asked
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
        body = {"name": name, "environment_id": environment_id, "scope": scope}
        body = _body({**body, "expires_at": expires_at})
        return Call("POST", "/api/tokens", resource, body=body, key=_key())

    @asked
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of tokens, newest first, including those that are revoked or expired."""
        return Call("GET", "/api/tokens", page, _query(cursor=cursor, limit=limit))

    each = followed(list)

    @asked
    def revoke(self, token_id: Id) -> Call[None]:
        """Revoke a token: requests with it are rejected from now on."""
        return Call("DELETE", f"/api/tokens/{_quoted(token_id)}", nothing)


class Environments(Group[C]):
    """The methods for environments (tenants); the token needs the scope `admin`."""

    @asked
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Return a page of environments, newest first."""
        return Call("GET", "/api/environments", page, _query(cursor=cursor, limit=limit))

    each = followed(list)


class Pauses(Group[C]):
    """The methods for pausing the environment, or with `all` all environments."""

    @asked
    def get(self) -> Call[Resource]:
        """Return `paused`, `paused_at` and `all_paused_at` of the environment."""
        return Call("GET", "/api/pause", resource)

    @asked
    def pause(self, *, all: bool = False) -> Call[Resource]:
        """Pause sending. Events are accepted and delivered later.

        The token needs the scope `admin`.
        """
        return Call("POST", "/api/pause", resource, body={"all": all}, key=_key())

    @asked
    def resume(self, *, all: bool = False) -> Call[Resource]:
        """Resume sending. Raises Conflict if all environments are paused and not this one alone."""
        return Call("POST", "/api/resume", resource, body={"all": all}, key=_key())


class BlockingGroups(Blocking):
    """All groups of methods; the methods return the result."""

    webhooks = part(Webhooks[Blocking])
    deliveries = part(Deliveries[Blocking])
    events = part(Events[Blocking])
    event_types = part(EventTypes[Blocking])
    environments = part(Environments[Blocking])
    tokens = part(Tokens[Blocking])
    pauses = part(Pauses[Blocking])


class AwaitingGroups(Awaiting):
    """All groups of methods; the methods are coroutines."""

    webhooks = part(Webhooks[Awaiting])
    deliveries = part(Deliveries[Awaiting])
    events = part(Events[Awaiting])
    event_types = part(EventTypes[Awaiting])
    environments = part(Environments[Awaiting])
    tokens = part(Tokens[Awaiting])
    pauses = part(Pauses[Awaiting])


def _webhook(webhook_id: Id) -> str:
    return f"/api/webhooks/{_quoted(webhook_id)}"


def _recovery(webhook_id: Id, recovery_id: str) -> str:
    return f"{_webhook(webhook_id)}/recoveries/{_quoted(recovery_id)}"


def _delivery(delivery_id: str) -> str:
    return f"/api/deliveries/{_quoted(delivery_id)}"


def _quoted(part_of_path: Id) -> str:
    """Return one segment of a path. An id such as `..` would lead to another path.

    Raises ValueError for an id of dots only.
    """
    text = str(part_of_path)
    if text.strip(".") == "":
        raise ValueError(f"{text!r} is not an id")
    return quote(text, safe="")


def _body(said: Mapping[str, Any]) -> dict[str, Any]:
    return {camel(name): _text(value) for name, value in said.items()}


def _query(**said: Any) -> dict[str, str]:
    return {name: str(_text(value)) for name, value in said.items() if value is not None}


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _key() -> str:
    """Return a new key, by which the API recognises a repeated request."""
    return str(uuid4())
