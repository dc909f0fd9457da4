"""Define the inputs for tokens."""

from typing import Annotated

from pydantic import StringConstraints

from dispatcher.core.model import Scope
from dispatcher.services.inputs.base import (
    Form,
    Limit,
    Moment,
    Name,
)
from dispatcher.services.inputs.text_patterns import ENVIRONMENT_ID_OR_ALL


class TokenQuery(Form):
    """Select a page of tokens. Without a field, list as many as one response holds."""

    cursor: str | None = None
    limit: Limit | None = None


class NewToken(Form):
    """Create a token for a program or a person."""

    name: Name
    """The program or the person that the token is for."""
    environment_id: Annotated[str, StringConstraints(pattern=ENVIRONMENT_ID_OR_ALL)]
    """The environment that the token is bound to, or `*` for all environments."""
    scope: Scope = "read"
    """`read` can only read. `support` can also retry, replay and read the audit log.

    `write` can also emit events, cancel deliveries, and change webhooks, event types and the
    quarantine. `admin` can also read and change tokens and environments, and pause sending.
    """
    expires_at: Moment | None = None
    """When the token expires. If it is missing, the token never expires."""
