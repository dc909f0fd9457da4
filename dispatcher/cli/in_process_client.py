"""A client that calls the API's handlers in this process, without a daemon, port or token."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import ValidationError

from dispatcher import client
from dispatcher.api import errors, types
from dispatcher.api.all_routes import ROUTES
from dispatcher.api.representations import envelope
from dispatcher.api.requests import event_batch, idempotency, json_body
from dispatcher.api.requests.idempotency import IdempotencyKey, StoredResponse
from dispatcher.api.requests.pipeline import bound_call
from dispatcher.api.routes import Route
from dispatcher.cli import database
from dispatcher.cli.database import Database
from dispatcher.client.call import Call
from dispatcher.client.methods import AsyncApi
from dispatcher.client.resources import Response
from dispatcher.client.transport import encoded
from dispatcher.config.sections import Config, ConfigError
from dispatcher.core.endpoint_url import split_userinfo
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, DEFAULT_ENVIRONMENT
from dispatcher.core.errors import RefusedError
from dispatcher.core.model import RawJson
from dispatcher.encryption.cipher import Cipher, read_cipher
from dispatcher.services.access.token_authentication import Principal
from dispatcher.services.inputs.base import Form
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.store.pool import Pool, PoolShare
from dispatcher.store.queries.events import NewEventRow

T = TypeVar("T")

ENCRYPTING_ROUTES = ("create_webhook", "rotate_webhook_secret")
ENCRYPTED_FIELDS = frozenset({"headers", "authentication", "tls"})


@asynccontextmanager
async def open_client(
    config: Config, target_database: Database, environment: str | None
) -> AsyncIterator["InProcessClient"]:
    """Open a client on the database. Raise MigrationError unless its schema fits."""
    await database.check_schema(target_database)
    async with database.session(target_database, config) as session:
        yield InProcessClient(config, target_database, Pool([session]).of(""), environment)


class InProcessClient(AsyncApi):
    """The client for people with access to the database. It may do everything.

    Without an environment, it uses that of the webhook, event or delivery that a call names. It
    raises ApiError as the API would, and errors of the database.
    """

    def __init__(
        self, config: Config, target_database: Database, pool: PoolShare, environment: str | None
    ) -> None:
        self.environment = environment
        self._config = config
        self._database = target_database
        self._pool = pool

    async def send(self, call: Call[T]) -> T:
        """Return the result of a call. Raise ApiError if it is refused."""
        try:
            answer = await self._answer(call)
        except (RefusedError, ValidationError, types.HttpError) as error:
            failure = errors.explain(error, envelope, "")
            answer = Response(failure.status, {}, envelope.write_error(failure, ""))
        return call.read(answer.data())

    async def _answer(self, request: Call[Any]) -> Response:
        """Call the handler of a route in this process, as the API's pipeline does."""
        route, path = _match(request)
        body = encoded(request.body) or b""
        form, query = _inputs(request, route, body)
        cipher = await self._cipher(route, request.body)
        settings = ServiceSettings.from_config(self._config, cipher)
        call = _call(settings, self._pool, route, path, request, body)
        call = replace(call, environment_id=await self._environment(call, route))
        key = _batch_key(request, call, body)
        call = await route.prepared(call, form)
        try:
            async with bound_call(call, route.transaction or key is not None) as bound:
                stored = None if key is None else await idempotency.claim(bound, key)
                if stored is not None:
                    return Response(stored.status, {}, stored.body)
                answer = await route.handle(bound, form, query)
                answer = replace(answer, is_page=answer.is_page or answer.next is not None)
                shape = answer.shape or route.shape
                written = envelope.write(answer, shape, link=None, secrets=True)
                if key is not None:
                    await idempotency.keep(bound, key, StoredResponse(answer.status, written))
        finally:
            await settings.close()
        if answer.wait_until_applied is not None:
            await answer.wait_until_applied(self._pool)
        return Response(answer.status, {}, written)

    async def _cipher(self, route: Route, body: object) -> Cipher | None:
        """Return the cipher for a call, None if no key is configured for a call that needs none.

        Encrypting a secret needs the database's key, and creates it the first time. Other calls use
        the key, if there is one, to show which headers are sent.
        """
        has_secrets = isinstance(body, Mapping) and _has_secrets(body)
        if route.name in ENCRYPTING_ROUTES or has_secrets:
            return await database.open_cipher(self._database, self._config)
        try:
            return read_cipher(self._config)
        except ConfigError:
            return None

    async def _environment(self, call: types.Call, route: Route) -> str:
        if route.all_environments:
            return ALL_ENVIRONMENTS
        if self.environment is not None:
            return (await call.services.environments.get(self.environment)).id
        if "webhook_id" in call.path:
            webhook_id = call.uuid("webhook_id")
            return (await call.services.webhooks.get(webhook_id, None)).environment_id
        return await _environment_of_path(call) or DEFAULT_ENVIRONMENT


def _has_secrets(body: Mapping[str, Any]) -> bool:
    """Return True if a body has fields that are stored encrypted, also in its URL."""
    _, userinfo = split_userinfo(str(body.get("url", "")))
    return userinfo is not None or not ENCRYPTED_FIELDS.isdisjoint(body)


async def _environment_of_path(call: types.Call) -> str | None:
    """Return the environment of the event or the delivery in the path, None if there is none."""
    object_id = call.path.get("event_id") or call.path.get("delivery_id")
    return None if object_id is None else await call.services.history.environment_of(object_id)


def _call(
    settings: ServiceSettings,
    pool: PoolShare,
    route: Route,
    path: Mapping[str, str],
    request: Call[Any],
    body: bytes,
) -> types.Call:
    """Return the call as `api/requests/request_parser.py` builds it from a request.

    A cursor is the plain position here, because no client can forge it.
    """
    actor = database.actor()
    return types.Call(
        services=Services(pool, actor, settings),
        pool=pool,
        principal=Principal(actor.name, actor.name, "admin", None),
        environment_id=DEFAULT_ENVIRONMENT,
        path=path,
        position=request.query.get("cursor"),
        idempotency_key=request.key,
        verbatim=_verbatim(request, route, body),
        events=_events(settings, route, request, body),
    )


def _is_batch(request: Call[Any], route: Route) -> bool:
    is_list = request.body is not None and not isinstance(request.body, Mapping)
    return route.batch is not None and is_list


def _inputs(request: Call[Any], route: Route, body: bytes) -> tuple[Form | None, Form | None]:
    """Return the form in the body and the query of a call, each None if there is none.

    Raise HttpError for a body that the API refuses too, and ValidationError.
    """
    form = query = None
    if route.form is not None and not _is_batch(request, route):
        if body:
            json_body.check(body)
        form = envelope.read(route.form, route.shape, body, None)
    if route.query is not None:
        query = route.query.model_validate_strings(request.query, strict=False)
    return form, query


def _verbatim(request: Call[Any], route: Route, body: bytes) -> RawJson | None:
    """Return the JSON text of the route's verbatim field, None if there is none."""
    if route.verbatim_field is None or _is_batch(request, route):
        return None
    text = body.decode()
    span = json_body.span_of(text, [route.verbatim_field])
    return None if span is None else RawJson(text[slice(*span)])


def _events(
    settings: ServiceSettings, route: Route, request: Call[Any], body: bytes
) -> Sequence[NewEventRow]:
    """Return the events of a batch, none if the call is not one."""
    if route.batch is None or not _is_batch(request, route):
        return ()
    format_, most_data = event_batch.BatchFormat(envelope), settings.delivery.max_data
    return event_batch.read(format_, route.batch, route.shape, body, most_data=most_data)


def _batch_key(request: Call[Any], call: types.Call, body: bytes) -> IdempotencyKey | None:
    """Return the Idempotency-Key of a batch, which the API would keep too."""
    if request.key is None or not call.events:
        return None
    return IdempotencyKey.of(request.key, f"{request.method} {request.target}", envelope, body)


def _match(request: Call[Any]) -> tuple[Route, dict[str, str]]:
    """Return the route of a call and its path parameters. Raise NotFoundError if there is none."""
    segments = request.path.split("/")
    for route in ROUTES:
        for method, path in route.paths():
            parts = path.split("/")
            if method == request.method and len(parts) == len(segments):
                pairs = list(zip(parts, segments, strict=True))
                if all(part == text for part, text in pairs if not part.startswith("{")):
                    ids = {p.strip("{}"): unquote(t) for p, t in pairs if p.startswith("{")}
                    return route, ids
    raise client.NotFoundError(404, "not_found", f"there is no route for {request.path}")
