"""The calls about each noun."""

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
"""A time; as text RFC 3339 with an offset, as in `2026-02-26T12:00:00Z`."""


class Webhooks(Group[C]):
    """The methods that the API calls webhooks."""

    construct_event = staticmethod(construct_event)
    """See dispatcher.receiver."""

    @asked
    def create(self, /, url: str, events: Sequence[str], **more: Any) -> Call[Resource]:
        """A new webhook, with its `secret`: it is shown this once. `more`: `name`, `description`,
        `active`, `headers`, `rate_limit`, `timeout` and so on, see /openapi.json.

        There is no `secret` if the first answer was lost and the request repeated: rotate it then.
        """
        body = _body({"url": url, "events": list(events), **more})
        return Call("POST", "/api/webhooks", resource, body=body, key=_key())

    @collected
    def list(self) -> Call[Page]:
        """All of them, oldest first."""
        return Call("GET", "/api/webhooks", page)

    @asked
    def get(self, webhook_id: Id) -> Call[Resource]:
        return Call("GET", _webhook(webhook_id), resource)

    @asked
    def update(self, /, webhook_id: Id, **changes: Any) -> Call[Resource]:
        """What is not given stays as it is; None is the default again."""
        return Call("PATCH", _webhook(webhook_id), resource, body=_body(changes))

    @asked
    def delete(self, webhook_id: Id) -> Call[None]:
        """Nothing more is sent to it; what is pending for it is cancelled."""
        return Call("DELETE", _webhook(webhook_id), nothing)

    @asked
    def rotate_secret(self, webhook_id: Id, *, overlap_seconds: int = 0) -> Call[Resource]:
        """The webhook, with its new `secret`: it is shown this once. The old one signs beside it
        for `overlap_seconds`."""
        return Call(
            "POST",
            f"{_webhook(webhook_id)}/rotate_secret",
            resource,
            body=_body({"overlap_seconds": overlap_seconds}),
            repeatable=False,  # the secret would be lost
        )

    @asked
    def test_ping(self, webhook_id: Id) -> Call[Resource]:
        """The delivery of a `webhook.test` event, on its way."""
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
        """Newest first. `status`: PENDING, DELIVERED, FAILED or CANCELLED; `event`: a type, or
        `user.*` for all below."""
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
        """Send again what failed, or was `missed`, in that time, at most `rate` a second. It goes on
        by itself: see `recovery`. With `dry_run` only `failed` and `missed` are counted."""
        asked_for = {"since": since, "until": until, "missed": missed, "rate": rate}
        body = _body({**asked_for, "dry_run": dry_run})
        return Call("POST", f"{_webhook(webhook_id)}/recover", resource, body=body, key=_key())

    @asked
    def recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """How far it is."""
        return Call("GET", _recovery(webhook_id, recovery_id), resource)

    @asked
    def cancel_recovery(self, webhook_id: Id, recovery_id: str) -> Call[Resource]:
        """What it has made is sent, and no more is made."""
        path = f"{_recovery(webhook_id, recovery_id)}/cancel"
        return Call("POST", path, resource, body={}, key=_key())


class Deliveries(Group[C]):
    """One event owed to one webhook."""

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
        """Those of all webhooks, newest first."""
        query = _query(
            status=status, event=event, since=since, until=until, cursor=cursor, limit=limit
        )
        return Call("GET", "/api/deliveries", page, query)

    each = followed(list)

    @asked
    def get(self, delivery_id: str) -> Call[Resource]:
        """With every attempt, in `attempt_list`."""
        return Call("GET", _delivery(delivery_id), resource)

    @asked
    def retry(self, delivery_id: str) -> Call[Resource]:
        """Send it again, also if it ended; now, if it is pending."""
        return Call("POST", f"{_delivery(delivery_id)}/retry", resource, body={}, key=_key())

    @asked
    def cancel(self, delivery_id: str) -> Call[Resource]:
        """Send it no more."""
        return Call("POST", f"{_delivery(delivery_id)}/cancel", resource, body={}, key=_key())


class Events(Group[C]):
    """Facts, told once."""

    @asked
    def emit(
        self, type: str, data: Any = None, *, idempotency_key: str | None = None
    ) -> Call[Resource]:
        """The event; with a key that was used before, the first one's.

        `data` that is a JsonText is sent as it is written, to the last byte.
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
        """Newest first."""
        query = _query(id=id, type=type, since=since, until=until, cursor=cursor, limit=limit)
        return Call("GET", "/api/events", page, query)

    each = followed(list)

    @asked
    def get(self, event_id: str) -> Call[Resource]:
        """With its deliveries."""
        return Call("GET", f"/api/events/{_quoted(event_id)}", resource)


class EventTypes(Group[C]):
    """The catalogue."""

    @collected
    def list(self) -> Call[Page]:
        """All of them, by name."""
        return Call("GET", "/api/event-types", page)

    @asked
    def get(self, name: str) -> Call[Resource]:
        return Call("GET", f"/api/event-types/{_quoted(name)}", resource)

    @asked
    def put(self, /, name: str, **described: Any) -> Call[Resource]:
        """`description`, `example`, `schema`, `enforce`; what is not given stays as it is."""
        path = f"/api/event-types/{_quoted(name)}"
        return Call("PUT", path, resource, body=_body(described))

    @asked
    def delete(self, name: str) -> Call[None]:
        """Events of the type are delivered all the same."""
        return Call("DELETE", f"/api/event-types/{_quoted(name)}", nothing)


class Tokens(Group[C]):
    """Tokens of the API; the caller's own needs the scope admin."""

    @asked
    def create(
        self,
        name: str,
        environment_id: str,
        *,
        scope: str = "read",
        expires_at: Moment | None = None,
    ) -> Call[Resource]:
        """A new token, with its text in `token`: it is shown this once.

        `environment_id` is the environment it is bound to, or `*` for every one.
        """
        body = {"name": name, "environment_id": environment_id, "scope": scope}
        body = _body({**body, "expires_at": expires_at})
        return Call("POST", "/api/tokens", resource, body=body, key=_key())

    @asked
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Newest first, with those that are revoked or expired."""
        return Call("GET", "/api/tokens", page, _query(cursor=cursor, limit=limit))

    each = followed(list)

    @asked
    def revoke(self, token_id: Id) -> Call[None]:
        """Refuse a token from now on."""
        return Call("DELETE", f"/api/tokens/{_quoted(token_id)}", nothing)


class Environments(Group[C]):
    """The tenants; the token needs the scope admin."""

    @asked
    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page]:
        """Newest first."""
        return Call("GET", "/api/environments", page, _query(cursor=cursor, limit=limit))

    each = followed(list)


class Pauses(Group[C]):
    """Whether anything is sent: for the environment, or with `all` for all of them."""

    @asked
    def get(self) -> Call[Resource]:
        """Of the environment: `paused`, `paused_at` and `all_paused_at`."""
        return Call("GET", "/api/pause", resource)

    @asked
    def pause(self, *, all: bool = False) -> Call[Resource]:
        """Send nothing more; what is emitted is delivered afterwards. The token needs the scope admin."""
        return Call("POST", "/api/pause", resource, body={"all": all}, key=_key())

    @asked
    def resume(self, *, all: bool = False) -> Call[Resource]:
        """Send again. Conflict: the environment is not paused itself, but all are."""
        return Call("POST", "/api/resume", resource, body={"all": all}, key=_key())


class BlockingGroups(Blocking):
    """Everything that can be asked; the methods return the answer."""

    webhooks = part(Webhooks[Blocking])
    deliveries = part(Deliveries[Blocking])
    events = part(Events[Blocking])
    event_types = part(EventTypes[Blocking])
    environments = part(Environments[Blocking])
    tokens = part(Tokens[Blocking])
    pauses = part(Pauses[Blocking])


class AwaitingGroups(Awaiting):
    """Everything that can be asked; the methods are coroutines."""

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
    """One segment of a path. An id such as `..` would ask for something else."""
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
    """A request that is repeated is known again by it."""
    return str(uuid4())
