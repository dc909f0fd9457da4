"""The errors of the service layer. Each text is for the caller and holds no secret."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid value: where it is in the request (`("events", 0)`), and why it is invalid."""

    place: tuple[str | int, ...]
    reason: str


class RefusedError(Exception):
    """The request was rejected and nothing was changed. `code` is a stable word for programs."""

    code: ClassVar[str] = "refused"


class InvalidError(RefusedError):
    """The request is invalid, independent of the caller and of the current state."""

    code = "invalid"

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{_dotted(p.place)}: {p.reason}" for p in problems))

    @classmethod
    def field(cls, name: str, reason: str) -> "InvalidError":
        """Return the error for one field of the request."""
        return cls(Problem((name,), reason))


class NotFoundError(RefusedError):
    """The object does not exist, or the caller may not see it: both look the same."""

    code = "not_found"


class ConflictError(RefusedError):
    """The request conflicts with the current state."""

    code = "conflict"


class ChangedError(RefusedError):
    """The object was changed by another request since the caller read it."""

    code = "changed_meanwhile"


class ForbiddenError(RefusedError):
    """The caller is not allowed to do this."""

    code = "forbidden"


def _dotted(place: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in place) or "request"
