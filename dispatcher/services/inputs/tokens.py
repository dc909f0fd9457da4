"""What may be asked for about tokens."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from dispatcher.services.inputs.base import (
    Form,
    Limit,
    Moment,
    Name,
)

EVERY = "*"
"""In the place of an environment: every one of them."""

Scope = Literal["read", "write", "admin"]
"""What a token may do: each may also do what those before it may."""


class TokenQuery(Form):
    """Without any of these, all are listed, or as many as one answer holds."""

    cursor: str | None = None
    limit: Limit | None = None


class NewToken(Form):
    """A token for a program or a person."""

    name: Name
    """Who or what it is for."""
    environment_id: Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9_-]{1,64})$")]
    """The environment it is bound to; `*` for every one."""
    scope: Scope = "read"
    """`read` looks, `write` also changes webhooks and deliveries, `admin` also tokens and
    environments."""
    expires_at: Moment | None = None
    """When it stops being good; by default never."""
