"""Where people's wishes are dealt with: every part of the service layer, on a session of one's own.

API, dashboard and command line all come here.
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
    """`cipher` None: secrets can be neither made nor read.

    `schemes`, `retry` and `delivery` are what is configured for webhooks that have no wishes.
    Close `checks` at the end.
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
        return Webhooks(session, actor, cipher=self._cipher, ground=self._ground)

    def catalogue(self, session: Asked, actor: Actor) -> Catalogue:
        return Catalogue(session, actor)

    def catalogue_writer(self, pool: Opening, actor: Actor) -> CatalogueWriter:
        return CatalogueWriter(pool, actor, self.checks, most=self.limits.event_types)

    def emission(self, session: Asked, actor: Actor) -> Emission:
        return Emission(session, actor)

    def environments(self, session: Asked, actor: Actor) -> Environments:
        return Environments(session, actor, most=self.limits.environments)

    def history(self, session: Asked) -> History:
        return History(session)

    def overview(self, session: Asked) -> Overview:
        return Overview(session)

    def backlogs(self, session: Asked) -> Backlogs:
        return Backlogs(session)

    def pauses(self, session: Asked, actor: Actor) -> Pauses:
        return Pauses(session, actor)

    def quarantine(self, session: Asked, actor: Actor) -> Quarantine:
        return Quarantine(session, actor)

    def recoveries(self, session: Asked, actor: Actor) -> Recoveries:
        return Recoveries(session, actor)

    def resend(self, session: Asked, actor: Actor) -> Resend:
        return Resend(session, actor)

    def tokens(self, session: Asked, actor: Actor) -> Tokens:
        return Tokens(session, actor, most=self.limits.tokens)

    def trail(self, session: Asked) -> Trail:
        return Trail(session)


def _own_headers(config: Config) -> list[str]:
    names = config.signing.header_names()
    brand = config.signing.brand
    own = [f"X-{brand}-{word}" for word in ("Event", "Delivery", "Attempt")]
    own += [names.body_hex, names.timestamped_hex, names.timestamped_hex_timestamp, names.stripe]
    return [name.lower() for name in own]
