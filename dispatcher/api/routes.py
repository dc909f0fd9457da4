"""Routes, declared by decorators beside their handlers.

The application, the OpenAPI document and the access tests are built from them.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Required, TypedDict, TypeVar, Unpack, get_args, get_origin, get_type_hints

from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.model import Scope
from dispatcher.services.inputs.base import Form

Handler = Callable[..., Awaitable[HandlerResult[object]]]
Prepare = Callable[[Call, Form | None], Awaitable[Call]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another successful response of a route, with its own status."""

    status: int
    returns: type
    shape: Shape


@dataclass(frozen=True, slots=True)
class Batch:
    """Another body of a route: many inputs `form` at once, for another handler.

    The handler finds them in `Call.events`, and returns a list with status 201.
    """

    form: type[Form]
    handler: Callable[[Call], Awaitable[HandlerResult[tuple[object, ...]]]]

    @property
    def returns(self) -> type:
        """Return the class of the resources in the response."""
        returns, _ = _resource(get_type_hints(self.handler)["return"])
        assert returns is not None  # noqa: S101 - a handler of a batch returns a list
        return returns


class RouteOptions(TypedDict, total=False):
    """The options of a route.

    - `scope` is the scope that the token needs.
    - `status` is the status of the successful response, 200 by default.
    - `shape` replaces the shape of the module's routes.
    - `page` means that a list is always a page.
    - `alternative` is another successful response.
    - `transaction` runs the handler in a transaction, because it changes something.
    - `own_transaction` leaves the transaction to the handler, so that it can do something slow
      outside of it.
    - `prepare` does something slow before the transaction, and returns the call with its result.
    - `all_environments` means that the operation is not about one environment.
    - `aliases` are other paths of the route, `more_methods` other methods.
    - `if_match` means that If-Match applies.
    - `verbatim_field` names the field of the form whose JSON text is passed on unchanged.
    - `own_idempotency` means that the handler deals with the Idempotency-Key.
    - `own_environment_check` means that the handler fails if the environment does not exist.
    - `waits` means that the answer waits until the daemons have applied the change. The answer to a
      repeated request does not.
    - `batch` is the body with many inputs. Its response is stored under the Idempotency-Key,
      even with `own_idempotency`.
    """

    scope: Required[Scope]
    status: int
    shape: Shape
    page: bool
    alternative: Alternative
    transaction: bool
    own_transaction: bool
    prepare: Prepare
    all_environments: bool
    aliases: tuple[str, ...]
    more_methods: tuple[str, ...]
    if_match: bool
    verbatim_field: str
    own_idempotency: bool
    own_environment_check: bool
    waits: bool
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API. See RouteOptions for the options.

    - `name` is the name of the handler and the id of the operation in the OpenAPI document.
    - `summary` is the first line of the handler's docstring.
    - `form` and `query` are the models of the body and of the query parameters.
    - `returns` is the class of the resource in the response, None if there is none (204).
    - `is_list` means that the response is a list of them.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    scope: Scope
    shape: Shape
    returns: type | None
    is_list: bool = False
    form: type[Form] | None = None
    query: type[Form] | None = None
    status: int = 200
    page: bool = False
    alternative: Alternative | None = None
    transaction: bool = False
    own_transaction: bool = False
    prepare: Prepare | None = None
    all_environments: bool = False
    aliases: tuple[str, ...] = ()
    more_methods: tuple[str, ...] = ()
    if_match: bool = False
    verbatim_field: str | None = None
    own_idempotency: bool = False
    own_environment_check: bool = False
    waits: bool = False
    batch: Batch | None = None

    @property
    def is_change(self) -> bool:
        """Return True if the route changes something."""
        return self.transaction or self.own_transaction

    async def prepared(self, call: Call, form: Form | None) -> Call:
        """Return the call with the result of `prepare`, if the route has one."""
        return call if self.prepare is None else await self.prepare(call, form)

    def handle(
        self, call: Call, form: Form | None, query: Form | None
    ) -> Awaitable[HandlerResult[object]]:
        """Call the handler with the inputs that it takes, or that of the batch."""
        if self.batch is not None and call.events:
            return self.batch.handler(call)
        inputs = {"form": form, "query": query}
        return self.handler(call, **{n: value for n, value in inputs.items() if value is not None})

    def paths(self) -> list[tuple[str, str]]:
        """Return every method and path of the route. Paths under /apps name the environment."""
        paths = [self.path, *self.aliases]
        if not self.all_environments:
            paths += [app_path(path, "{app_id}") for path in paths]
        return [(method, path) for path in paths for method in (self.method, *self.more_methods)]


def app_path(path: str, environment_id: str) -> str:
    """Return the path under /apps that means the same as one under /api."""
    return path.replace("/api/", f"/apps/{environment_id}/", 1)


class Routes:
    """The routes of one noun, in the order in which its module declares them.

    A handler is `async def name(call: Call, form: Form) -> HandlerResult[Resource]`. Its parameter
    `form` or `query` is the input, and its return annotation is the resource of the response:
    `HandlerResult[tuple[Resource, ...]]` for a list, `HandlerResult[None]` for none.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Return a decorator that adds the route `GET path` to its handler."""
        return self._add("GET", path, options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Return a decorator that adds the route `POST path` to its handler."""
        return self._add("POST", path, options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Return a decorator that adds the route `PUT path` to its handler."""
        return self._add("PUT", path, options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Return a decorator that adds the route `PATCH path` to its handler."""
        return self._add("PATCH", path, options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Return a decorator that adds the route `DELETE path`, which returns no resource."""
        return self._add("DELETE", path, {"status": 204, **options})

    def _add(self, method: str, path: str, options: RouteOptions) -> Callable[[H], H]:
        with_shape: RouteOptions = {"shape": self._shape, **options}

        def add(handler: H) -> H:
            hints = get_type_hints(handler)
            returns, is_list = _resource(hints["return"])
            route = Route(
                method=method,
                path=path,
                name=handler.__name__,
                summary=(handler.__doc__ or "").partition("\n")[0].rstrip("."),
                handler=handler,
                form=hints.get("form"),
                query=hints.get("query"),
                returns=returns,
                is_list=is_list,
                **with_shape,
            )
            self._routes.append(route)
            return handler

        return add


def _resource(result: object) -> tuple[type | None, bool]:
    """Return the class of the resource in an annotation `HandlerResult[…]`, and True for a list.

    Of a union, return the first class; the others are alternatives of the route.
    """
    (body,) = get_args(result)
    if body is NoneType:
        return None, False
    if get_origin(body) is tuple:
        return get_args(body)[0], True
    return get_args(body)[0] if isinstance(body, UnionType) else body, False
