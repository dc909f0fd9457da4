"""The headers of one attempt: what the receiver reads, signed at this moment."""

from dataclasses import dataclass, field

from dispatcher.core import ids, signing
from dispatcher.core.model import Delivery, Endpoint, Event


@dataclass(slots=True)
class Request:
    """`varied` is the JSON text kept with the attempt: what differs between attempts, no signature."""

    headers: dict[str, str] = field(repr=False)
    varied: str


class Requests:
    """Builds requests under one brand. An endpoint may narrow `schemes`, never widen them."""

    def __init__(self, *, brand: str, schemes: tuple[str, ...], names: signing.HeaderNames) -> None:
        self._schemes = schemes
        self._names = names
        self._event = f"X-{brand}-Event"
        self._delivery = f"X-{brand}-Delivery"
        self._attempt = f"X-{brand}-Attempt"
        self.user_agent = f"{brand}-Webhook/1.0"

    def build(
        self, delivery: Delivery, endpoint: Endpoint, event: Event, now: float, as_of: float
    ) -> Request:
        """Sign `event` for `endpoint`. ValueError: it cannot be signed.

        `now` is what receivers compare with their clocks, `as_of` the database's time, by which an
        old secret ends; both in epoch seconds.
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
        varied = f'{{"{self._delivery}":"{name}","{self._attempt}":"{attempt}","timestamp":"{timestamp}"}}'
        return Request(headers, varied)

    def _allowed(self, endpoint: Endpoint) -> tuple[str, ...]:
        if endpoint.schemes is None:
            return self._schemes
        return tuple(s for s in endpoint.schemes if s in self._schemes)
