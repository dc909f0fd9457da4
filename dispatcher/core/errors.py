"""How the service layer says no. Each text is meant for whoever asked, and holds no secret."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value: where in the request (`("events", 0)`), and why."""

    place: tuple[str | int, ...]
    reason: str


class Refused(Exception):
    """Nothing was changed. `code` is a stable word for programs."""

    code: ClassVar[str] = "refused"


class Invalid(Refused):
    """What was asked for can not be, whoever asks."""

    code = "invalid"

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{_dotted(p.place)}: {p.reason}" for p in problems))

    @classmethod
    def field(cls, name: str, reason: str) -> "Invalid":
        return cls(Problem((name,), reason))


class Unknown(Refused):
    """There is no such thing, or not for who asks: both look the same."""

    code = "not_found"


class Conflict(Refused):
    """What is asked for does not go with how things are."""

    code = "conflict"


class Changed(Refused):
    """Somebody else has changed it since it was read."""

    code = "changed_meanwhile"


class Forbidden(Refused):
    """Who asks may not do that."""

    code = "forbidden"


def _dotted(place: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in place) or "request"
