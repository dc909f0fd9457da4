"""Define the inputs for environments."""

from dispatcher.services.inputs.base import (
    EnvironmentId,
    Form,
    Name,
)


class NewEnvironment(Form):
    """Create an environment: a tenant whose webhooks and events no other environment sees."""

    id: EnvironmentId | None = None
    """Id that producers use. If it is missing, one is generated."""
    name: Name


class EnvironmentChanges(Form):
    """Rename an environment. Its id, which producers use, stays."""

    name: Name
