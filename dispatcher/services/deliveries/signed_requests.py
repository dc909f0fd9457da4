"""Sign the request of a delivery, for a person who sends it by hand."""

import time
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from dispatcher.core import ids
from dispatcher.core.endpoint_url import parse_url
from dispatcher.core.errors import ConflictError
from dispatcher.core.model import Delivery, Endpoint, Event, RetryPolicy
from dispatcher.core.request_headers import RequestBuilder
from dispatcher.encryption.cipher import Cipher, WrongKeyError
from dispatcher.encryption.endpoint_secrets import decrypt_endpoint
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.deliveries.history import History
from dispatcher.services.deliveries.history_resources import Delivery as ShownDelivery
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.session import Queryable
from dispatcher.transport.exchanging.request_head import RequestHeads, default_headers

_BY_CLIENTS: Final = frozenset({"host", "content-length"})
"""Headers that every client writes itself."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as the daemon would send it now, without the secret and without credentials.

    `url` is in ASCII. `headers` are in the order in which they are sent, without Host and
    Content-Length. Values of the webhook's own headers are placeholders. `body` are the exact bytes
    that are signed. `authentication`, `has_certificate` and `has_ca` tell what has to be added.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    own_headers: tuple[str, ...]
    authentication: Literal["basic", "oauth2"] | None
    has_certificate: bool
    has_ca: bool


class SignedRequests:
    """The signing of single requests. Call the method within a transaction."""

    def __init__(
        self,
        session: Queryable,
        actor: Actor,
        *,
        cipher: Cipher | None,
        builder: RequestBuilder,
        retry: RetryPolicy,
    ) -> None:
        self._history = History(session)
        self._endpoints = Endpoints(session)
        self._journal = Journal(session, actor)
        self._cipher = cipher
        self._builder = builder
        self._heads = RequestHeads(default_headers(builder.user_agent))
        self._retry = retry

    async def sign(self, environment_id: str, delivery_name: str) -> SignedRequest:
        """Return the request of the delivery's next attempt, signed now. Write an audit entry.

        The receiver cannot tell it from a delivery. Raise NotFoundError if there is no such
        delivery, and ConflictError if it cannot be signed.
        """
        shown = await self._history.delivery(environment_id, delivery_name)
        if shown.payload is None:
            raise ConflictError("The event is no longer kept, so there is nothing to sign.")
        endpoint, authentication = await self._endpoint(shown)
        own = tuple(name for name in endpoint.headers if name.lower() != "authorization")
        if authentication != "basic":
            own = tuple(endpoint.headers)
        request = SignedRequest(
            url=_ascii(endpoint.url),
            headers=self._headers(shown, endpoint, own, shown.payload.encode()),
            body=shown.payload.encode(),
            own_headers=own,
            authentication=authentication,
            has_certificate=endpoint.tls is not None and endpoint.tls.certificate is not None,
            has_ca=endpoint.tls is not None and endpoint.tls.ca is not None,
        )
        await self._journal.note("delivery.sign", delivery_name, environment_id)
        return request

    async def _endpoint(
        self, shown: ShownDelivery
    ) -> tuple[Endpoint, Literal["basic", "oauth2"] | None]:
        """Return the endpoint with its secrets, and how its requests authenticate."""
        rows = await self._endpoints.for_sending([shown.webhook_id])
        if not rows or rows[0]["deleted"]:
            raise ConflictError("The webhook was deleted, so its secret signs no more.")
        if self._cipher is None:
            raise ConflictError("There is no key to read the secret of the webhook with.")
        try:
            endpoint = decrypt_endpoint(rows[0], self._cipher, self._retry)
        except (WrongKeyError, TypeError, ValueError):
            raise ConflictError(
                "The secret of the webhook cannot be read. Rotate it, then try again."
            ) from None
        if rows[0]["authentication_sealed"] is None:
            return endpoint, None
        return endpoint, "basic" if endpoint.oauth2 is None else "oauth2"

    def _headers(
        self, shown: ShownDelivery, endpoint: Endpoint, own: tuple[str, ...], body: bytes
    ) -> tuple[tuple[str, str], ...]:
        """Return the headers, as a connection would carry them."""
        delivery = Delivery(
            ids.parse(ids.DELIVERY_PREFIX, shown.id),
            ids.parse(ids.EVENT_PREFIX, shown.event_id),
            endpoint.id,
            shard=0,
            attempt=shown.attempts,
            base=0,
            next_at=0.0,
        )
        event = Event(delivery.event_id, shown.event, body)
        without_values = replace(endpoint, headers={name: f"<the value of {name}>" for name in own})
        now = time.time()
        request = self._builder.build(delivery, without_values, event, now, now)
        head = self._heads.build("", request.fixed, len(body), request.names, request.values)
        lines = (line.partition(": ") for line in head.decode().split("\r\n") if line)
        return tuple((name, value) for name, _, value in lines if name.lower() not in _BY_CLIENTS)


def _ascii(url: str) -> str:
    """Return a URL with the host and the target as they are sent."""
    parsed = parse_url(url)
    return f"{parsed.scheme}://{parsed.authority}{parsed.target}"
