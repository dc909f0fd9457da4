"""What may be asked of environments."""

from dispatcher.core.pagination import DEFAULT_LIMIT
from dispatcher.services.inputs.base import (
    EnvironmentId,
    Form,
    Limit,
    Name,
)


class NewEnvironment(Form):
    """A tenant: its webhooks and events are seen by nobody else."""

    id: EnvironmentId | None = None
    """What producers name it by; one is made up where none is given."""
    name: Name


class EnvironmentQuery(Form):
    """A page of the environments."""

    cursor: str | None = None
    limit: Limit = DEFAULT_LIMIT
