"""An environment in which everything happens that the dashboard has to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.api.conftest import Client
from tests.receivers import Answer, Receiver
from tests.waiting import until

TYPES: Mapping[str, str] = {
    "user.created": "A user has signed up",
    "user.updated": "A user's details have changed",
    "user.deleted": "A user has closed the account",
    "role.assigned": "A user was given a role",
    "invoice.created": "An invoice is due",
    "invoice.paid": "An invoice was paid in full",
    "invoice.refunded": "Money went back to a customer",
    "order.shipped": "A parcel was handed to the carrier",
}
SCHEMA = {
    "type": "object",
    "required": ["id", "amount"],
    "properties": {"id": {"type": "string"}, "amount": {"type": "integer"}},
}
NEVER: Mapping[str, Any] = {"retries": 0}
LATER: Mapping[str, Any] = {"retries": 6, "base": 480, "factor": 2, "jitter": 0}


@dataclass(frozen=True, slots=True)
class Scene:
    """The pages by name, each with its address."""

    pages: Mapping[str, str]
    webhooks: Mapping[str, str]
    """Ids by name."""


class Director:
    """Set the scene through the API of one environment, with receivers of every behaviour.

    Each type is emitted `rounds` times.
    """

    def __init__(
        self, ask: Client, environment_id: str, well: Receiver, badly: Receiver, *, rounds: int = 1
    ) -> None:
        self._ask = ask
        self._environment_id = environment_id
        self._rounds = rounds
        self._well = well
        self._badly = badly
        self._webhooks: dict[str, str] = {}
        self._reference = ""

    async def set(self) -> Scene:
        await self._describe()
        await self._subscribe()
        events = await self._emit()
        await self._fail()
        await self._recover()
        await self._decorate()
        deliveries = await self._deliveries()
        return Scene(self._pages(events, deliveries), dict(self._webhooks))

    async def _describe(self) -> None:
        for name, description in TYPES.items():
            put: dict[str, Any] = {"description": description}
            if name == "invoice.paid":
                example = {"id": "inv_2048", "amount": 12900}
                put |= {"schema": SCHEMA, "enforce": True, "example": example}
            await self._ask("PUT", f"/api/event-types/{name}", put)

    async def _subscribe(self) -> None:
        well, badly = self._well.url, self._badly.url
        for name, url, events, wishes in (
            ("User sync", f"{well}users", ["user.*", "role.assigned"], {"description": SYNC}),
            ("Billing", f"{badly}billing", ["invoice.*"], {"retry": LATER}),
            ("Warehouse", f"{badly}warehouse", ["order.shipped"], {"retry": NEVER}),
            ("Search index", f"{well}index", ["*"], {"headers": {"X-Api-Key": "k-1"}}),
            ("Legacy CRM", f"{well}crm", ["user.created"], {}),
        ):
            form = {"name": name, "url": url, "events": events, **wishes}
            self._webhooks[name] = (await self._ask("POST", "/api/webhooks", form)).data["id"]
        await self._ask("PATCH", f"/api/webhooks/{self._webhooks['Legacy CRM']}", {"active": False})

    async def _emit(self) -> Mapping[str, str]:
        """Ids by type."""
        self._well.otherwise = Answer(200, {"Content-Type": "application/json"}, b'{"ok":true}')
        self._badly.otherwise = Answer(503, {"Content-Type": "text/plain"}, b"upstream timed out")
        names = {}
        types = [type_ for type_ in TYPES if type_ != "invoice.paid"]
        for number, type_ in enumerate(types * self._rounds, start=2001):
            data = {"id": f"{type_[:3]}_{number}", "source": "shop", "tags": ["new", "eu"]}
            event: dict[str, Any] = {"type": type_, "data": data}
            if type_ == "order.shipped":
                event["reference"] = self._reference = f"ord_{number}"
            answer = await self._ask("POST", "/api/events", event)
            names[type_] = answer.data["id"]
        return names

    async def _fail(self) -> None:
        for data in ({"id": "inv_2049"}, {"id": "inv_2050", "amount": "12.90"}):
            await self._ask("POST", "/api/events", {"type": "invoice.paid", "data": data})

        async def quarantined() -> bool:
            return len((await self._ask("GET", "/api/quarantine")).data["items"]) == 2

        await until(quarantined, "the schema is enforced")
        await until(self._ended, "deliveries are under way", within=20.0)

    async def _ended(self) -> bool:
        """Everything was tried."""
        for name, count in (("User sync", 4), ("Billing", 2), ("Warehouse", 1)):
            deliveries = await self._listed(name)
            if sum(delivery["attempts"] > 0 for delivery in deliveries) < count * self._rounds:
                return False
        return True

    async def _listed(self, name: str) -> list[Any]:
        path = f"/api/webhooks/{self._webhooks[name]}/deliveries?limit=100"
        items: list[Any] = (await self._ask("GET", path)).data["items"]
        return items

    async def _recover(self) -> None:
        webhook = self._webhooks["Warehouse"]
        form = {"since": "2026-01-01T00:00:00Z"}
        recovering = await self._ask("POST", f"/api/webhooks/{webhook}/recover", form)
        assert recovering.data["state"] == "RUNNING"

        async def tried_again() -> bool:
            return all(delivery["attempts"] == 2 for delivery in await self._listed("Warehouse"))

        await until(tried_again, "what failed is sent again")

    async def _decorate(self) -> None:
        for name, scope in (("Shop backend", "write"), ("Status page", "read")):
            form = {"name": name, "scope": scope, "environmentId": self._environment_id}
            made = await self._ask("POST", "/api/tokens", form)
            assert made.data["name"] == name

    async def _deliveries(self) -> Mapping[str, str]:
        """An id by state."""
        ids: dict[str, str] = {}
        for name in self._webhooks:
            for delivery in await self._listed(name):
                ids.setdefault(delivery["status"], delivery["id"])
        return ids

    def _pages(self, events: Mapping[str, str], deliveries: Mapping[str, str]) -> dict[str, str]:
        sync, billing = self._webhooks["User sync"], self._webhooks["Billing"]
        paths = {
            "overview": "/",
            "overview-table": "/?as=table",
            "deliveries": "/deliveries",
            "deliveries-filtered": "/deliveries?status=FAILED&webhook=Warehouse",
            "causes": "/deliveries/causes",
            "bulk-actions": "/deliveries/bulk",
            "search": f"/search?q={self._reference}",
            "search-payloads": "/search?q=inv_20&in=all",
            "webhooks": "/webhooks",
            "webhook-new": "/webhooks/new",
            "webhook": f"/webhooks/{billing}",
            "webhook-disabled": f"/webhooks/{self._webhooks['Legacy CRM']}",
            "webhook-settings": f"/webhooks/{sync}/settings",
            "webhook-credentials": f"/webhooks/{sync}/credentials",
            "webhook-recoveries": f"/webhooks/{self._webhooks['Warehouse']}/recoveries",
            "webhook-history": f"/webhooks/{self._webhooks['Legacy CRM']}/history",
            "webhooks-filtered": "/webhooks?q=e&state=active&sort=name",
            "delivery": f"/deliveries/{deliveries['DELIVERED']}",
            "delivery-pending": f"/deliveries/{deliveries['PENDING']}",
            "delivery-failed": f"/deliveries/{deliveries['FAILED']}",
            "events": "/events",
            "event": f"/events/{events['user.created']}",
            "event-new": "/events/new?type=invoice.paid",
            "event-types": "/event-types",
            "event-type": "/event-types/of/invoice.paid",
            "event-type-new": "/event-types/new",
            "quarantine": "/quarantine",
            "tokens": "/tokens",
            "audit": "/audit",
        }
        return {name: f"/e/{self._environment_id}{path}" for name, path in paths.items()}


SYNC = "Keeps the accounts of the support desk up to date."
