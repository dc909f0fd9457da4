"""The route, from which both the application and the OpenAPI document are built."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dispatcher.api.types import Answer, Call, Shape
from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.tokens import Scope

Handle = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API.

    - `answers` is the resource in the response, None if there is none (204).
    - `many` means that the response is a list, `paged` that the list is always a page.
    - `otherwise` is an alternative response: its status, resource and shape.
    - `changes` runs the handler in a transaction.
    - `own_transaction` leaves the transaction to the handler, so that it can do something slow
      outside of it.
    - `everywhere` means that the operation is not about one environment.
    - `also` lists alias paths.
    - `versioned` means that If-Match applies.
    - `raw` names the field of the form whose JSON text is passed on unchanged.
    - `keyed` means that the handler deals with the Idempotency-Key.
    """

    method: str
    path: str
    name: str
    summary: str
    scope: Scope
    handle: Handle
    shape: Shape
    answers: type | None
    form: type[Form] | None = None
    query: type[Form] | None = None
    many: bool = False
    paged: bool = False
    status: int = 200
    otherwise: tuple[int, type, Shape] | None = None
    changes: bool = False
    own_transaction: bool = False
    everywhere: bool = False
    also: tuple[str, ...] = ()
    more_methods: tuple[str, ...] = ()
    versioned: bool = False
    raw: str | None = None
    keyed: bool = False

    @property
    def in_transaction(self) -> bool:
        """Return True if the pipeline opens and commits a transaction around the handler."""
        return self.changes and not self.own_transaction

    def paths(self) -> list[tuple[str, str]]:
        """Return every method and path of the route. Paths under /apps name the environment."""
        own = [self.path, *self.also]
        if not self.everywhere:
            own += [path.replace("/api/", "/apps/{app_id}/", 1) for path in own]
        return [(method, path) for path in own for method in (self.method, *self.more_methods)]
