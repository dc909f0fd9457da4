"""From what was made to what can be done with it: the links of the OpenAPI document."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from dispatcher.api.routes import Route

SUPPLIES = {
    "webhook": "webhook_id",
    "delivery": "delivery_id",
    "event": "event_id",
    "recovery": "recovery_id",
    "event_type": "name",
    "token": "token_id",
    "environment": "app_id",
}
"""The path parameter that is the id of a resource of this type."""

ID = "$response.body#/data/id"
"""Where the id stands in both dialects; a catalogued type has it in its `name` there in one."""

PARAMETER = re.compile(r"\{(\w+)\}")


def linked(
    made: Route, path: str, routes: Sequence[Route], named: Callable[[Route, str, str], str]
) -> dict[str, Any]:
    """Links from what `made` answers with at `path`, by the id of the operation they lead to."""
    supplied = SUPPLIES.get(made.shape.type)
    if supplied is None or made.many or made.answers is None:
        return {}
    known = {name: f"$request.path.{name}" for name in PARAMETER.findall(path)}
    known[supplied] = known.get(supplied, ID)
    links = {}
    for route in routes:
        found = _path(route, supplied, within="{app_id}" in path)
        needed = set(PARAMETER.findall(found)) if found else set()
        if found is not None and supplied in needed and needed <= known.keys():
            operation = named(route, route.method, found)
            links[operation] = {
                "operationId": operation,
                "parameters": {name: known[name] for name in sorted(needed)},
            }
    return links


def _path(route: Route, supplied: str, *, within: bool) -> str | None:
    """Where a route is to be found from here; None for nowhere. A new environment is for making
    things in."""
    under = next((path for _, path in route.paths() if path.startswith("/apps/")), None)
    if supplied == "app_id":
        return under if route.method == "POST" and route.path.count("/") == len("//") else None
    return under if within else route.path
