"""Senders for tests, which may connect to the loopback only."""

from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.sender import Sender

LIMIT = 16 * 1024


def new_sender(*allow: str, connect_timeout: float = 30.0, concurrency: int = 32) -> Sender:
    return Sender(
        guard=Guard(parse_allow(allow or ["127.0.0.0/8"])),
        connect_timeout=connect_timeout,
        body_limit=LIMIT,
        concurrency=concurrency,
        user_agent="Dispatcher-Webhook/1.0",
    )
