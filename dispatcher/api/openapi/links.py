"""The links of the OpenAPI document: from a resource in a response to the operations on it."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from dispatcher.api.routes import Route

SUPPLIES = {
    "webhook": "webhook_id",
    "delivery": "delivery_id",
    "event": "event_id",
    "recovery": "recovery_id",
    "bulk_action": "bulk_action_id",
    "event_type": "name",
    "token": "token_id",
    "environment": "app_id",
}
"""The path parameter that holds the id, by type of resource."""

ID = "$response.body#/data/id"
"""The place of the id in both dialects. Only an event type in the envelope has it in `name`."""

PARAMETER = re.compile(r"\{(\w+)\}")


def linked(
    made: Route, path: str, routes: Sequence[Route], named: Callable[[Route, str, str], str]
) -> dict[str, Any]:
    """Return the links from the response of `made` at `path`, by operation id.

    `named` returns the operation id of a route, method and path. Return no links if the response is
    a list or has no body.
    """
    supplied = SUPPLIES.get(made.shape.type)
    if supplied is None or made.is_list or made.returns is None:
        return {}
    known = {name: f"$request.path.{name}" for name in PARAMETER.findall(path)}
    known[supplied] = known.get(supplied, ID)
    links = {}
    for route in routes:
        target_path = _path(route, supplied, within="{app_id}" in path)
        needed = set(PARAMETER.findall(target_path)) if target_path else set()
        if target_path is not None and supplied in needed and needed <= known.keys():
            operation = named(route, route.method, target_path)
            links[operation] = {
                "operationId": operation,
                "parameters": {name: known[name] for name in sorted(needed)},
            }
    return links


def _path(route: Route, supplied: str, *, within: bool) -> str | None:
    """Return the path of `route` to which a link may lead, None if there is none.

    A new environment links only to the POST routes with a short path, such as `/api/events`.
    """
    under = next((path for _, path in route.paths() if path.startswith("/apps/")), None)
    if supplied == "app_id":
        return under if route.method == "POST" and route.path.count("/") == len("//") else None
    return under if within else route.path
