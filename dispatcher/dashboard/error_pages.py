"""Error pages: what happened, why, and what to do, within the navigation of the dashboard."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from dispatcher.api.errors import STATUSES_AND_TITLES, unavailable
from dispatcher.api.requests.request_values import request_id
from dispatcher.core.errors import ForbiddenError, RefusedError
from dispatcher.telemetry import observe

TITLES: Final = {
    400: "The request could not be read",
    403: "You may not do this",
    404: "Not found",
    409: "Nothing was changed",
    413: "This is too large",
    422: "The input is not valid",
    500: "Something went wrong",
    503: "Not available at the moment",
}
"""What happened, by status."""
ADVICE: Final = {
    404: "Check the address. Events, deliveries and attempts are kept for a limited time, and the"
    " search finds all that are kept.",
    409: "Open the page again, and check what it shows now.",
    413: "Shorten the input, or send it over the API: a form takes three bytes for most characters"
    " that are no letters or digits.",
    500: "Try again. If it happens again, the log of the daemon says why.",
    503: "Try again in a moment. What was emitted is kept, and is sent as soon as that is"
    " possible.",
}
"""What to do, by status, unless the reason says it."""
SCOPE_ADVICE: Final = "Sign in with a token that has this scope, or ask an administrator for one."


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """What an error page says: the status, the reason, what to do, and a link that leads on."""

    status: int
    text: str
    advice: str = ""
    link: str = ""
    label: str = ""

    @property
    def title(self) -> str:
        """Return what happened in a few words."""
        return TITLES.get(self.status) or HTTPStatus(self.status).phrase


def error_page_of(request: web.Request, error: Exception) -> ErrorPage:
    """Return what to show for an exception. Log an unexpected one."""
    match error:
        case ForbiddenError():
            return ErrorPage(403, str(error), SCOPE_ADVICE)
        case RefusedError():
            status = STATUSES_AND_TITLES[type(error)][0]
            return ErrorPage(status, str(error), ADVICE.get(status, ""))
        case web.HTTPRequestEntityTooLarge():
            return ErrorPage(413, _limit_of(request.client_max_size), ADVICE[413])
        case web.HTTPException():
            return ErrorPage(error.status, error.reason)
        case _ if title := unavailable(error):
            return ErrorPage(503, title, ADVICE[503])
        case _:
            observe.requests.failed(request_id(request), error)
            text = (
                "An internal error occurred. The log has the details, under the request"
                f" {request_id(request)}."
            )
            return ErrorPage(500, text, ADVICE[500])


def _limit_of(bytes_limit: int) -> str:
    """Name the limit of a form, and the settings that decide it, as the API does for a body."""
    return (
        f"A form must be at most {bytes_limit} bytes (limits.body_bytes, or twice"
        " delivery.max_data)."
    )
