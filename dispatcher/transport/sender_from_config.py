"""Build the sender of a configuration."""

from dispatcher.config.sections import Config
from dispatcher.transport.addresses.egress import Guard
from dispatcher.transport.connecting.proxy_from_config import proxy_from_config
from dispatcher.transport.sender import Sender


def sender_from_config(config: Config, guard: Guard) -> Sender:
    """Return a sender that is not open yet, under the rules of `guard`. Raise ConfigError."""
    delivery = config.delivery
    return Sender(
        guard=guard,
        connect_timeout=delivery.connect_timeout,
        body_limit=delivery.response_body,
        concurrency=delivery.concurrency,
        user_agent=config.signing.request_builder().user_agent,
        proxy=proxy_from_config(config),
    )
