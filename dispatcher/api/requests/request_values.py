"""The id, the actor and the environment of a request, from its head and its token."""

import re
import secrets

from aiohttp import web

from dispatcher.api.routes import app_path
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, DEFAULT_ENVIRONMENT, is_environment_id
from dispatcher.services.access.token_authentication import Principal
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.public_ids import no_environment

_KEY = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def request_id(request: web.BaseRequest) -> str:
    """Return the id of a request: the caller's X-Request-Id if it is valid, else a new one."""
    known = request.get(_KEY)
    if known is None:
        header = request.headers.get("X-Request-Id", "")
        known = header if _REQUEST_ID.fullmatch(header) else f"req_{secrets.token_hex(12)}"
        request[_KEY] = known
    return known


def actor_of(request: web.Request, principal: Principal) -> Actor:
    """Return the actor for the audit log."""
    return Actor(f"token:{principal.token_id}", request_id(request), request.remote, "api")


def environment_id_of(request: web.Request, principal: Principal) -> str:
    """Return the environment that a request is about.

    Raise NotFoundError for one that the token may not use, as if it did not exist.
    """
    check_named_environments(request, principal)
    name = request.match_info.get("app_id") or request.headers.get("X-Environment-Id")
    if name is None:
        return principal.environment_id or DEFAULT_ENVIRONMENT
    if not is_environment_id(name):
        raise no_environment(name)
    return name


def check_named_environments(request: web.Request, principal: Principal) -> None:
    """Raise NotFoundError if the path or a header names another environment than the token's.

    A token for all environments may name any.
    """
    for name in (request.match_info.get("app_id"), request.headers.get("X-Environment-Id")):
        if name is not None and principal.environment_id not in (None, name):
            raise no_environment(name)


def path_for(request: web.Request, principal: Principal, environment_id: str, api_path: str) -> str:
    """Return a path under /api, or the same under /apps if /api leads to another environment.

    It leads to `environment_id` with the same token, whether X-Environment-Id is sent again or not.
    """
    without_header = principal.environment_id or DEFAULT_ENVIRONMENT
    named = request.headers.get("X-Environment-Id", environment_id)
    if without_header == named == environment_id:
        return api_path
    return app_path(api_path, environment_id)


def fairness_key_of(principal: Principal, environment_id: str) -> str:
    """Return the fairness key under which a request takes connections, memory and threads.

    Operators have tokens for all environments and get a key of their own. Otherwise a busy
    environment could keep them from pausing it.
    """
    if principal.environment_id is not None:
        return environment_id
    return f"{ALL_ENVIRONMENTS}/{environment_id}"
