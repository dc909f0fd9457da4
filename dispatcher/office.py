"""Where people's wishes are dealt with: every part of the service layer, on a session of one's own.

API, dashboard and command line all come here.
"""

from dispatcher import signing
from dispatcher.audit import Actor, Trail
from dispatcher.backlog import Backlogs
from dispatcher.catalogue import Catalogue, CatalogueWriter
from dispatcher.config import Config
from dispatcher.crypto import Cipher
from dispatcher.emission import Emission
from dispatcher.environments import Environments
from dispatcher.history import History
from dispatcher.overview import Overview
from dispatcher.pauses import Pauses
from dispatcher.quarantine import Quarantine
from dispatcher.recoveries import Recoveries
from dispatcher.resend import Resend
from dispatcher.schema_checks import SchemaChecks
from dispatcher.store.address import AddressError, read
from dispatcher.store.pool import Opening
from dispatcher.store.session import Asked
from dispatcher.tokens import Tokens
from dispatcher.transport.egress import Guard, parse_allow
from dispatcher.transport.own_ports import own_ports
from dispatcher.webhooks import Ground, Webhooks


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


def guard_of(config: Config, dsn: str | None = None) -> Guard:
    """Return the egress rules; `dsn` is that of the database if it is not in the configuration."""
    if dsn is None and config.database.dsn is not None:
        dsn = config.database.dsn.get_secret_value()
    return Guard(
        parse_allow(config.egress.allow),
        https_only=config.egress.https_only,
        own_ports=own_ports(config.admin.port, database_hosts(dsn) if dsn else ()),
    )


def database_hosts(dsn: str) -> list[tuple[str, int]]:
    """Return the servers of an address, as PG… variables and service files complete it.

    An address that cannot be read has none: connecting says what is wrong with it.
    """
    try:
        return [(host.address, host.port) for host in read(dsn).hosts]
    except AddressError:
        return []


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
