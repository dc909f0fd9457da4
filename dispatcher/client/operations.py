"""The methods of the API for operators: quarantine, audit log and figures."""

from dispatcher.client import requests
from dispatcher.client.call import ApiMethod, C, Call, ItemIterator, MethodGroup
from dispatcher.client.requests import path
from dispatcher.client.resources import Page, Resource


class Quarantine(MethodGroup[C]):
    """The methods for events that could not be fanned out."""

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
        """Discard an event in quarantine, so that it is never fanned out."""
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
