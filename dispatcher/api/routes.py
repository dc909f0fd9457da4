"""What a route is. The application and the OpenAPI document are both made from such."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dispatcher.api.types import Answer, Call, Shape
from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.tokens import Scope

Handle = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`answers` is the resource in the answer, None for none (204); `many` a list of them, `paged`
    always a page. `otherwise` is another answer it may give: its status, resource and shape.

    `changes` runs the handler in a transaction, unless it opens its own (`own_transaction`), which
    it does where something slower than a statement belongs to the change. `everywhere`: it is not about one environment.
    `also` are other paths for the same. `raw` names the field of the form whose text is handed on
    unread; `keyed`: the handler sees to the Idempotency-Key.
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
        """Whether the handler runs in a transaction that others open and commit."""
        return self.changes and not self.own_transaction

    def paths(self) -> list[tuple[str, str]]:
        """Every method and path that means it; those under /apps name the environment."""
        own = [self.path, *self.also]
        if not self.everywhere:
            own += [path.replace("/api/", "/apps/{app_id}/", 1) for path in own]
        return [(method, path) for path in own for method in (self.method, *self.more_methods)]
