"""One delivery: its page with all attempts, its payload, and what people do with it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.model import Scope
from dispatcher.dashboard import attempt_groups, curl_command
from dispatcher.dashboard.lists import list_context
from dispatcher.dashboard.protection import HEADERS
from dispatcher.dashboard.rendering import answer
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.services.deliveries.history_resources import Delivery
from dispatcher.services.propagation import wait_until_acknowledged
from dispatcher.services.services import Services
from dispatcher.services.webhooks.webhook_resource import Webhook

GROUPS_LIMIT: Final = 20
"""Groups of attempts on a page, each with headers and a body that the receiver chose."""


async def one(request: DashboardRequest) -> web.Response:
    """Show a delivery with its attempts."""
    return await _page(request)


async def payload(request: DashboardRequest) -> web.Response:
    """Return the exact bytes of the payload, to test a receiver with.

    It is a download, because a browser must not render text that others wrote.
    """
    delivery = await _delivery(request)
    if delivery.payload is None:
        raise NotFoundError("The event is no longer kept.")
    name = f'attachment; filename="{delivery.id}.json"'
    headers = {**HEADERS, "Content-Disposition": name}
    body = delivery.payload.encode()
    return answer(request.http, body, "application/json", headers=headers)


async def retry(request: DashboardRequest) -> web.Response:
    """Retry a delivery, and wait briefly for the daemon that holds it to apply that."""
    return await _act(
        request, "support", lambda services: services.delivery_actions.retry, "retried"
    )


async def cancel(request: DashboardRequest) -> web.Response:
    """Cancel a delivery, and wait briefly for the daemon that holds it to apply that."""
    return await _act(
        request, "write", lambda services: services.delivery_actions.cancel, "cancelled"
    )


async def curl(request: DashboardRequest) -> web.Response:
    """Show a curl command with a fresh signature. The audit log has an entry for it."""
    name = request.http.match_info["delivery_id"]
    try:
        async with request.changing("support") as services:
            signed = await services.signed_requests.sign(request.environment_id, name)
    except ConflictError as refused:
        return await _page(request, refused=str(refused), status=409)
    return request.page(
        "delivery_curl.html",
        secret=True,
        address=_address(request, name),
        payload_address=request.url("delivery_payload", delivery_id=name),
        signed=signed,
        command=curl_command.command(signed, f"{name}.json"),
        is_inline=curl_command.is_inline(signed.body),
    )


async def _act(
    request: DashboardRequest,
    scope: Scope,
    action: Callable[[Services], Callable[[str, str], Awaitable[int]]],
    flash: str,
) -> web.Response:
    """Run an action, which returns the delivery's number, and redirect to the delivery."""
    name = request.http.match_info["delivery_id"]
    try:
        async with request.changing(scope) as services:
            number = await action(services)(request.environment_id, name)
    except ConflictError as refused:
        return await _page(request, refused=str(refused), status=409)
    await wait_until_acknowledged(request.pool, number)
    return see_other(_address(request, name), flash)


def _address(request: DashboardRequest, name: str) -> str:
    """Return the address of a delivery's page, with the list that it was opened from."""
    query = list_context.query_of(request, "delivery")
    return request.url("delivery", query, delivery_id=name)


async def _delivery(request: DashboardRequest) -> Delivery:
    name = request.http.match_info["delivery_id"]
    return await request.services.history.delivery(request.environment_id, name)


async def _page(
    request: DashboardRequest, *, refused: str | None = None, status: int = 200
) -> web.Response:
    delivery = await _delivery(request)
    groups = attempt_groups.group(delivery.attempt_list)
    return request.page(
        "delivery.html",
        status=status,
        delivery=delivery,
        groups=groups[:GROUPS_LIMIT],
        hidden=delivery.attempts - sum(len(group.attempts) for group in groups[:GROUPS_LIMIT]),
        webhook=await _webhook(request, delivery),
        names=await request.services.webhook_names.of(
            request.environment_id, [delivery.webhook_id]
        ),
        context=list_context.read(request, "delivery"),
        address=_address(request, delivery.id),
        now=datetime.now(UTC),
        refused=refused,
    )


async def _webhook(request: DashboardRequest, delivery: Delivery) -> Webhook | None:
    """Return the webhook of a delivery, None if it was deleted. Its deliveries are kept."""
    try:
        return await request.services.webhooks.get(delivery.webhook_id, request.environment_id)
    except NotFoundError:
        return None


PAGES = (
    ("GET", "delivery", one),
    ("GET", "delivery_payload", payload),
    ("POST", "delivery_retry", retry),
    ("POST", "delivery_cancel", cancel),
    ("POST", "delivery_curl", curl),
)
