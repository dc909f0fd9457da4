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
    """`read` looks, `support` also retries, replays and reads the audit log, `write` also changes

    webhooks and deliveries, `admin` also changes tokens and environments.
    """
    expires_at: Moment | None = None
    """When the token expires. If it is missing, the token never expires."""
