"""docs/alerts.yml, docs/grafana.json and docs/operating.md name what a running daemon exposes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.services.backlog import COUNTED_MOST
from dispatcher.telemetry import metrics
from tests.api.conftest import Api
from tests.end_to_end.stories import Daemons, Story, until
from tests.receivers import Receiver

DOCS = Path(__file__).parents[2] / "docs"
USED = re.compile(r"\b((?:dispatcher|process)_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)="([^"]*)"')


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in json.loads((DOCS / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


async def test_every_expression_names_what_a_daemon_exposes(
    story: Story, daemons: Daemons, receiver: Receiver, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.services.measure.MEASURE_SECONDS", 0.1)
    monkeypatch.setattr("dispatcher.services.measure.PAUSES_SECONDS", 0.05)
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    await story.insert()
    await story.ended(DELIVERED=1)
    await until(
        lambda: (
            (metrics.REGISTRY.get_sample_value("dispatcher_shards_owned") or 0) > 0
            and metrics.REGISTRY.get_sample_value("dispatcher_endpoints", {"state": "active"}) == 1
        ),
        "all is measured",
    )
    metrics.STAGE_FAILURES.labels("fanout").inc(0)
    async with ClientSession(daemon.admin_address) as session:
        token = await Api(daemon, dsn, session).token("read")
        bearer = {"Authorization": f"Bearer {token}"}
        exposed = ""
        while "dispatcher_environment_pending_deliveries{" not in exposed:
            # A measurement that ends in between leaves out environments for which nothing waits.
            metrics.PENDING_OF_ENVIRONMENT.labels("env_default", "due").set(0)
            async with session.get("/metrics", headers=bearer) as response:
                exposed = await response.text()
    samples = [
        sample for family in text_string_to_metric_families(exposed) for sample in family.samples
    ]
    for expression in expressions():
        used = USED.findall(expression)
        assert used, expression
        for name, selector in used:
            labels = dict(LABEL.findall(selector))
            fitting = [s for s in samples if s.name == name and s.labels.items() >= labels.items()]
            assert fitting, f"{name}{labels} of {expression!r} is not exposed"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert f"`{rule['alert']}`" in (DOCS / "operating.md").read_text()


def test_every_metric_is_explained() -> None:
    described = set(re.findall(r"`(dispatcher_\w+)", (DOCS / "operating.md").read_text()))
    exposed = {
        sample_name
        for family in metrics.REGISTRY.collect()
        if family.name.startswith("dispatcher_")
        for sample_name in [f"{family.name}{'_total' if family.type == 'counter' else ''}"]
    }
    assert {name.removesuffix("_info") for name in described} == {
        name.removesuffix("_info") for name in exposed
    }


def test_the_bound_of_the_counts_is_said_as_it_is() -> None:
    for metric in (metrics.PENDING, metrics.INBOX, metrics.QUARANTINE):
        (family,) = metric.collect()
        assert f"{COUNTED_MOST} stands for that or more" in family.documentation
