"""Bind every service to the session and the actor of one request.

The API, the dashboard and the command line all use them.
"""

from dataclasses import dataclass, field
from functools import cached_property

from dispatcher.config.sections import Config, Delivery, Limits
from dispatcher.core.model import RetryPolicy
from dispatcher.core.request_headers import RequestBuilder
from dispatcher.encryption.cipher import Cipher
from dispatcher.schema_validation.checks import SchemaChecks
from dispatcher.services.access.tokens import Tokens
from dispatcher.services.audit.audit_log import Actor, AuditLog
from dispatcher.services.backlog import Backlogs
from dispatcher.services.deliveries.bulk_actions import BulkActions
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.deliveries.event_outcomes import EventOutcomes
from dispatcher.services.deliveries.failures import Failures
from dispatcher.services.deliveries.history import History
from dispatcher.services.deliveries.replays import Replays
from dispatcher.services.deliveries.signed_requests import SignedRequests
from dispatcher.services.environments import Environments
from dispatcher.services.event_types.event_type_writer import EventTypeWriter
from dispatcher.services.event_types.event_types import EventTypes
from dispatcher.services.events import Events
from dispatcher.services.overview import Overview
from dispatcher.services.pauses import Pauses
from dispatcher.services.quarantine import Quarantine
from dispatcher.services.search import Search
from dispatcher.services.verdict import Verdicts
from dispatcher.services.webhooks.certificate_checks import CertificateChecks
from dispatcher.services.webhooks.webhook_list import WebhookList
from dispatcher.services.webhooks.webhook_names import WebhookNames
from dispatcher.services.webhooks.webhook_rules import WebhookRules
from dispatcher.services.webhooks.webhooks import Webhooks
from dispatcher.store.emission_queue import EmissionQueue
from dispatcher.store.pool import Opening
from dispatcher.store.session import Queryable, without_locks
from dispatcher.transport.addresses.egress_from_config import guard_from_config


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Hold the parts of the services that live longer than a request. Close it at the end.

    - `cipher` encrypts secrets. It is None if secrets can be neither created nor read.
    - `retry` and `delivery` are the configured defaults of webhooks.
    - `limits` are the configured limits on numbers and bytes.
    - `request_builder` signs requests as the engine does.
    - `checks` runs the schema checks in a process of its own, which the first check starts.
    - `certificate_checks` checks the certificates of webhooks in threads.
    - `emissions` are the events that wait to be inserted.
    """

    cipher: Cipher | None = field(repr=False)
    retry: RetryPolicy
    delivery: Delivery
    limits: Limits
    webhook_rules: WebhookRules
    request_builder: RequestBuilder
    checks: SchemaChecks
    certificate_checks: CertificateChecks = field(default_factory=CertificateChecks)
    emissions: EmissionQueue = field(default_factory=EmissionQueue, repr=False)

    @classmethod
    def from_config(cls, config: Config, cipher: Cipher | None) -> "ServiceSettings":
        """Return the settings of a configuration."""
        builder = config.signing.request_builder()
        return cls(
            cipher=cipher,
            retry=config.retry.policy(),
            delivery=config.delivery,
            limits=config.limits,
            webhook_rules=WebhookRules(
                guard=guard_from_config(config),
                schemes=config.signing.schemes,
                own_headers=builder.own_headers(),
                limits=config.limits,
            ),
            request_builder=builder,
            checks=SchemaChecks(),
        )

    @property
    def schemes(self) -> tuple[str, ...]:
        """Return the signature schemes that are switched on."""
        return self.webhook_rules.schemes

    async def close(self) -> None:
        """End the process of the schema checks."""
        await self.checks.close()


class Services:
    """The services of one request. Each is built when it is first used.

    `session` runs the statements: a transaction for changes, a pool for reading. `actor` is named
    in the audit log.
    """

    def __init__(self, session: Queryable, actor: Actor, settings: ServiceSettings) -> None:
        self.session = session
        self.actor = actor
        self.settings = settings

    def within(self, session: Queryable) -> "Services":
        """Return the services of the same request that run their statements in `session`."""
        return Services(session, self.actor, self.settings)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Return the service for webhooks."""
        cipher, rules = self.settings.cipher, self.settings.webhook_rules
        return Webhooks(self.session, self.actor, cipher=cipher, rules=rules)

    @cached_property
    def webhook_list(self) -> WebhookList:
        """Return the service that lists webhooks by name, URL and state."""
        return WebhookList(self.session, self.webhooks)

    @cached_property
    def event_types(self) -> EventTypes:
        """Return the service that reads event types and deletes them."""
        return EventTypes(self.session, self.actor)

    @cached_property
    def event_type_writer(self) -> EventTypeWriter:
        """Return the service that writes event types in its own transactions.

        Raise TypeError if the services are bound to a transaction, because the schema check must
        not run inside of one.
        """
        if not isinstance(self.session, Opening):
            raise TypeError("event types are written in a transaction of their own")
        checks, limit = self.settings.checks, self.settings.limits.event_types
        return EventTypeWriter(self.session, self.actor, checks, limit=limit)

    @cached_property
    def events(self) -> Events:
        """Return the service that emits events."""
        return Events(self.session, self.settings.emissions)

    @cached_property
    def environments(self) -> Environments:
        """Return the service for environments."""
        return Environments(self.session, self.actor, limit=self.settings.limits.environments)

    @cached_property
    def history(self) -> History:
        """Return the service that reads deliveries and events."""
        return History(without_locks(self.session))

    @cached_property
    def event_outcomes(self) -> EventOutcomes:
        """Return the service that says how the deliveries of events went."""
        return EventOutcomes(self.session)

    @cached_property
    def failures(self) -> Failures:
        """Return the service that groups failed deliveries by cause."""
        return Failures(self.session)

    @cached_property
    def webhook_names(self) -> WebhookNames:
        """Return the service that names webhooks and finds them."""
        return WebhookNames(self.session)

    @cached_property
    def search(self) -> Search:
        """Return the service that finds events by name and by text."""
        return Search(self.session)

    @cached_property
    def overview(self) -> Overview:
        """Return the service that summarizes the current state."""
        return Overview(self.session)

    @cached_property
    def verdicts(self) -> Verdicts:
        """Return the service that judges whether all is well."""
        return Verdicts(self.session)

    @cached_property
    def backlogs(self) -> Backlogs:
        """Return the service that counts the backlog."""
        return Backlogs(self.session)

    @cached_property
    def pauses(self) -> Pauses:
        """Return the service that pauses and resumes sending."""
        return Pauses(self.session, self.actor)

    @cached_property
    def quarantine(self) -> Quarantine:
        """Return the service for quarantined events."""
        return Quarantine(self.session, self.actor)

    @cached_property
    def replays(self) -> Replays:
        """Return the service for replays."""
        return Replays(self.session, self.actor)

    @cached_property
    def delivery_actions(self) -> DeliveryActions:
        """Return the service that retries or cancels one delivery."""
        return DeliveryActions(self.session, self.actor)

    @cached_property
    def signed_requests(self) -> SignedRequests:
        """Return the service that signs single requests."""
        return SignedRequests(
            self.session,
            self.actor,
            cipher=self.settings.cipher,
            builder=self.settings.request_builder,
            retry=self.settings.retry,
        )

    @cached_property
    def bulk_actions(self) -> BulkActions:
        """Return the service that retries or cancels many deliveries."""
        return BulkActions(self.session, self.actor)

    @cached_property
    def tokens(self) -> Tokens:
        """Return the service for tokens."""
        return Tokens(self.session, self.actor, limit=self.settings.limits.tokens)

    @cached_property
    def audit_log(self) -> AuditLog:
        """Return the service that reads the audit log."""
        return AuditLog(self.session)
