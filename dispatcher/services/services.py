"""Build every service for one session.

The API, the dashboard and the command line all use them.
"""

from dispatcher.config.sections import Config
from dispatcher.encryption.cipher import Cipher
from dispatcher.schema_validation.checks import SchemaChecks
from dispatcher.services.audit_log import Actor, Trail
from dispatcher.services.backlog import Backlogs
from dispatcher.services.delivery_actions import Resend
from dispatcher.services.environments import Environments
from dispatcher.services.event_types import Catalogue, CatalogueWriter
from dispatcher.services.events import Emission
from dispatcher.services.history import History
from dispatcher.services.overview import Overview
from dispatcher.services.pauses import Pauses
from dispatcher.services.quarantine import Quarantine
from dispatcher.services.replays import Recoveries
from dispatcher.services.tokens import Tokens
from dispatcher.services.webhooks import Ground, Webhooks
from dispatcher.store.pool import Opening
from dispatcher.store.session import Asked
from dispatcher.transport.guard import guard_of


class Office:
    """The services. `cipher` is None if secrets can be neither created nor read.

    `schemes`, `retry` and `delivery` are the configured defaults of webhooks. Close `checks` at the
    end.
    """

    def __init__(self, config: Config, cipher: Cipher | None) -> None:
        self.schemes = config.signing.schemes
        self.retry = config.retry.policy()
        self.delivery = config.delivery
        self.limits = config.limits
        self.checks = SchemaChecks()
        self._cipher = cipher
        self._ground = Ground(
            guard=guard_of(config),
            schemes=config.signing.schemes,
            own_headers=frozenset(_own_headers(config)),
            limits=config.limits,
        )

    def webhooks(self, session: Asked, actor: Actor) -> Webhooks:
        """Return the service for webhooks."""
        return Webhooks(session, actor, cipher=self._cipher, ground=self._ground)

    def catalogue(self, session: Asked, actor: Actor) -> Catalogue:
        """Return the service that reads a catalogue and deletes from it."""
        return Catalogue(session, actor)

    def catalogue_writer(self, pool: Opening, actor: Actor) -> CatalogueWriter:
        """Return the service that writes a catalogue in its own transactions."""
        return CatalogueWriter(pool, actor, self.checks, most=self.limits.event_types)

    def emission(self, session: Asked, actor: Actor) -> Emission:
        """Return the service that emits events."""
        return Emission(session, actor)

    def environments(self, session: Asked, actor: Actor) -> Environments:
        """Return the service for environments."""
        return Environments(session, actor, most=self.limits.environments)

    def history(self, session: Asked) -> History:
        """Return the service that reads deliveries and events."""
        return History(session)

    def overview(self, session: Asked) -> Overview:
        """Return the service that summarizes the current state."""
        return Overview(session)

    def backlogs(self, session: Asked) -> Backlogs:
        """Return the service that counts the backlog."""
        return Backlogs(session)

    def pauses(self, session: Asked, actor: Actor) -> Pauses:
        """Return the service that pauses and resumes sending."""
        return Pauses(session, actor)

    def quarantine(self, session: Asked, actor: Actor) -> Quarantine:
        """Return the service for quarantined events."""
        return Quarantine(session, actor)

    def recoveries(self, session: Asked, actor: Actor) -> Recoveries:
        """Return the service for replays."""
        return Recoveries(session, actor)

    def resend(self, session: Asked, actor: Actor) -> Resend:
        """Return the service that retries or cancels one delivery."""
        return Resend(session, actor)

    def tokens(self, session: Asked, actor: Actor) -> Tokens:
        """Return the service for tokens."""
        return Tokens(session, actor, most=self.limits.tokens)

    def trail(self, session: Asked) -> Trail:
        """Return the service that reads the audit log."""
        return Trail(session)


def _own_headers(config: Config) -> list[str]:
    names = config.signing.header_names()
    brand = config.signing.brand
    own = [f"X-{brand}-{word}" for word in ("Event", "Delivery", "Attempt")]
    own += [names.body_hex, names.timestamped_hex, names.timestamped_hex_timestamp, names.stripe]
    return [name.lower() for name in own]
