"""Define the inputs for the audit log."""

from typing import Annotated

from pydantic import StringConstraints

from dispatcher.services.inputs.base import EnvironmentId, Form, Limit
from dispatcher.services.inputs.text_patterns import ASCII_OR_EMPTY

Exactly = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=ASCII_OR_EMPTY)]


class AuditQuery(Form):
    """Select a page of the audit log, newest first."""

    environment_id: EnvironmentId | None = None
    actor: Exactly | None = None
    action: Exactly | None = None
    subject: Exactly | None = None
    cursor: str | None = None
    limit: Limit | None = None
