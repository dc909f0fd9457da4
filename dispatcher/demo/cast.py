"""The demo's receivers: one answers well, and each of the others shows one kind of trouble."""

from dataclasses import dataclass
from http import HTTPStatus

from dispatcher.services.inputs.webhook_inputs import NewWebhook, Schedule

SLOW_SECONDS = 2.0
"""How long the slow receiver takes to answer."""
RECOVERED_AT = 3
"""The attempt from which the recovering receiver answers well."""
RETRY = Schedule(retries=3, base=3.0, factor=2.0, jitter=0.1)
"""Few attempts within half a minute, so that people see how a delivery fails."""


@dataclass(frozen=True, slots=True)
class Role:
    """A receiver of the demo, with the event types that its webhook wants."""

    name: str
    events: tuple[str, ...]
    behaviour: str

    @property
    def path(self) -> str:
        """Return the path of the receiver's URL."""
        return f"/{self.name}"

    def webhook(self, url: str, name: str, secret: str | None) -> NewWebhook:
        """Return the input to create the webhook of this role at the receivers' address."""
        retry = None if self is QUICK else RETRY
        return NewWebhook(
            url=url,
            events=list(self.events),
            name=name,
            description=f"It {self.behaviour}.",
            retry=retry,
            signing_secret=secret,
        )


QUICK = Role("quick", ("*",), "answers 200 at once")
OTHERS = (
    Role("slow", ("user.updated", "role.*"), f"answers 200 after {SLOW_SECONDS:g} s"),
    Role("failing", ("user.registered", "client.*"), "always answers 500"),
    Role(
        "recovering",
        ("user.password_changed", "permission.*"),
        f"answers 503 until attempt {RECOVERED_AT}",
    ),
    Role("gone", ("user.password_reset",), "answers 410, which disables its webhook"),
)
ROLES = (QUICK, *OTHERS)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a receiver to a valid delivery: after so many seconds, a status and a body."""

    seconds: float
    status: int
    body: str | None


def reply(role: str, attempt: str) -> Reply:
    """Return the answer of a role to an attempt. `attempt` is its number as a header has it."""
    match role:
        case "slow":
            return Reply(SLOW_SECONDS, HTTPStatus.OK, None)
        case "failing":
            return Reply(0.0, HTTPStatus.INTERNAL_SERVER_ERROR, "the database of the shop is down")
        case "recovering" if attempt.isdecimal() and int(attempt) < RECOVERED_AT:
            return Reply(0.0, HTTPStatus.SERVICE_UNAVAILABLE, "back in a few seconds")
        case "gone":
            return Reply(0.0, HTTPStatus.GONE, "this account was closed")
        case _:
            return Reply(0.0, HTTPStatus.OK, None)
