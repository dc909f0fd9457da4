"""Build the signed headers of one attempt, and say which ones people may not set."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import lru_cache

from dispatcher.core import ids, signing
from dispatcher.core.model import Delivery, Endpoint, Event, Sent

DEFAULT_BRAND = "Dispatcher"
"""The brand of headers, unless the configuration has another."""
SIGNERS_LIMIT = 4096
"""Most prepared signers, one for each endpoint in use."""
RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
)
"""Headers that people cannot set, in lower case: HTTP's own, the body's, the `standard`
scheme's."""


def is_reserved_header(name: str) -> bool:
    """Return True if neither the configuration nor a webhook may set the header."""
    return name.lower() in RESERVED_HEADERS or name.lower().startswith("proxy-")


@dataclass(slots=True)
class Request:
    """The headers of one attempt.

    `fixed` are the endpoint's own headers, the same for all attempts; the headers that vary have
    `names` and `values`. The sender adds the others. `sent` is kept with the attempt.
    """

    fixed: Mapping[str, str] = field(repr=False)
    names: tuple[str, ...]
    values: tuple[str, ...] = field(repr=False)
    sent: Sent

    @property
    def headers(self) -> dict[str, str]:
        """Return all headers but those that the sender adds."""
        return {**self.fixed, **dict(zip(self.names, self.values, strict=True))}


def user_agent(brand: str) -> str:
    """Return the User-Agent of all requests."""
    return f"{brand}-Webhook/1.0"


def sent_headers(brand: str, event_type: str, delivery_id: int, attempt: int) -> dict[str, str]:
    """Return the headers that an attempt sent, without signatures and the endpoint's own headers.

    They are made from the attempt's row, which has no text of them. So a header that is sent in
    another form some day needs a mark in the row that tells the forms apart.
    """
    values = (event_type, ids.delivery_name(delivery_id), str(attempt))
    return {
        "Content-Type": "application/json",
        "User-Agent": user_agent(brand),
        **dict(zip(varying_headers(brand), values, strict=True)),
    }


def varying_headers(brand: str) -> tuple[str, str, str]:
    """Return the names of the headers with the event's type, the delivery and the attempt."""
    return f"X-{brand}-Event", f"X-{brand}-Delivery", f"X-{brand}-Attempt"


@dataclass(slots=True)
class _Prepared:
    """The signer of an endpoint, and the names of all headers that vary."""

    signer: signing.Signer
    names: tuple[str, ...]


class RequestBuilder:
    """A builder of requests with the header names of one brand.

    An endpoint may choose some of `schemes`, but no others.
    """

    def __init__(self, *, brand: str, schemes: tuple[str, ...], names: signing.HeaderNames) -> None:
        self._schemes = schemes
        self._names = names
        self._brand = brand
        self.user_agent = user_agent(brand)
        self._sent = Sent(brand, 0)
        self._prepared = lru_cache(maxsize=SIGNERS_LIMIT)(self._prepare)

    def own_headers(self) -> frozenset[str]:
        """Return the headers that a webhook may not set, besides the reserved ones, in lower case.

        Headers of schemes that are switched off are among them, as they may be switched on.
        """
        names = (*varying_headers(self._brand), *astuple(self._names))
        return frozenset(name.lower() for name in names)

    def build(
        self, delivery: Delivery, endpoint: Endpoint, event: Event, now: float, as_of: float
    ) -> Request:
        """Sign `event` for `endpoint`, and return the headers.

        Both times are in epoch seconds: receivers compare `now` with their clocks; `as_of` is the
        database's time, by which a rotated secret ends. Raise ValueError if signing fails.
        """
        prepared = self._prepared(endpoint.schemes, endpoint.secrets_at(as_of))
        name, attempt = ids.delivery_name(delivery.id), str(delivery.attempt + 1)
        timestamp = int(now)
        if timestamp != self._sent.signed_at:  # once a second
            self._sent = Sent(self._brand, timestamp)
        signatures = prepared.signer.sign(ids.event_name(event.id), str(timestamp), event.body)
        return Request(
            endpoint.headers,
            prepared.names,
            (event.type, name, attempt, *signatures),
            self._sent,
        )

    def _prepare(self, chosen: tuple[str, ...] | None, secrets: tuple[str, ...]) -> _Prepared:
        schemes = self._schemes if chosen is None else [s for s in chosen if s in self._schemes]
        signer = signing.Signer(schemes, self._names, secrets)
        return _Prepared(signer, (*varying_headers(self._brand), *signer.names))
