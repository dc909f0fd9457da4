"""Build the signed headers of one attempt."""

from dataclasses import dataclass, field

from dispatcher.core import ids, signing
from dispatcher.core.model import Delivery, Endpoint, Event


@dataclass(slots=True)
class SignedRequest:
    """The headers of one attempt.

    `recorded` is the JSON text recorded with the attempt: the headers that differ between attempts,
    and the timestamp, but no signature.
    """

    headers: dict[str, str] = field(repr=False)
    recorded: str


class RequestBuilder:
    """A builder of requests with the header names of one brand.

    `schemes` are the signature schemes of the configuration: an endpoint may choose some of them,
    but no others.
    """

    def __init__(self, *, brand: str, schemes: tuple[str, ...], names: signing.HeaderNames) -> None:
        self._schemes = schemes
        self._names = names
        self._event = f"X-{brand}-Event"
        self._delivery = f"X-{brand}-Delivery"
        self._attempt = f"X-{brand}-Attempt"
        self.user_agent = f"{brand}-Webhook/1.0"

    def build(
        self, delivery: Delivery, endpoint: Endpoint, event: Event, now: float, as_of: float
    ) -> SignedRequest:
        """Sign `event` for `endpoint`, and return the headers.

        Both times are in epoch seconds: receivers compare `now` with their clocks; `as_of` is the
        database's time, by which a rotated secret ends. Raises ValueError if signing fails.
        """
        name, attempt = ids.delivery_name(delivery.id), delivery.attempt + 1
        timestamp = int(now)
        signatures = signing.sign(
            self._allowed(endpoint),
            self._names,
            endpoint.secrets_at(as_of),
            event_id=ids.event_name(event.id),
            timestamp=timestamp,
            body=event.body,
        )
        headers = {
            **endpoint.headers,
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            self._event: event.type,
            self._delivery: name,
            self._attempt: str(attempt),
            **signatures,
        }
        recorded = f'{{"{self._delivery}":"{name}","{self._attempt}":"{attempt}","timestamp":"{timestamp}"}}'
        return SignedRequest(headers, recorded)

    def _allowed(self, endpoint: Endpoint) -> tuple[str, ...]:
        if endpoint.schemes is None:
            return self._schemes
        return tuple(s for s in endpoint.schemes if s in self._schemes)
