"""What may be asked of the audit."""

from typing import Annotated

from pydantic import StringConstraints

from dispatcher.services.inputs.base import EnvironmentId, Form, Limit

Exactly = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[ -~]*$")]


class AuditQuery(Form):
    """A page of what was changed, newest first."""

    environment_id: EnvironmentId | None = None
    actor: Exactly | None = None
    action: Exactly | None = None
    subject: Exactly | None = None
    cursor: str | None = None
    limit: Limit | None = None
