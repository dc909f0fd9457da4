"""Where people's wishes are dealt with: every part of the service layer, on a session of one's own.

API, dashboard and command line all come here.
"""

from dispatcher import signing
from dispatcher.audit import Actor
from dispatcher.config import Config
from dispatcher.crypto import Cipher
from dispatcher.egress import Guard, parse_allow
from dispatcher.store.session import Asked
from dispatcher.webhooks import Ground, Webhooks


class Office:
    """`cipher` None: secrets can be neither made nor read."""

    def __init__(self, config: Config, cipher: Cipher | None) -> None:
        self._cipher = cipher
        self._ground = Ground(
            guard=Guard(parse_allow(config.egress.allow), https_only=config.egress.https_only),
            schemes=config.signing.schemes,
            own_headers=frozenset(_own_headers(config)),
        )

    def webhooks(self, session: Asked, actor: Actor) -> Webhooks:
        return Webhooks(session, actor, cipher=self._cipher, ground=self._ground)


def header_names(config: Config) -> signing.HeaderNames:
    return signing.HeaderNames(
        body_hex=config.signing.body_hex_header,
        timestamped_hex=config.signing.timestamped_hex_header,
        timestamped_hex_timestamp=config.signing.timestamped_hex_timestamp_header,
        stripe=config.signing.stripe_header,
    )


def _own_headers(config: Config) -> list[str]:
    names = header_names(config)
    brand = config.signing.brand
    own = [f"X-{brand}-{word}" for word in ("Event", "Delivery", "Attempt")]
    own += [names.body_hex, names.timestamped_hex, names.timestamped_hex_timestamp, names.stripe]
    return [name.lower() for name in own]
