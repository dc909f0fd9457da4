"""docs/alerts.yml, docs/grafana.json and docs/operating.md name what a running daemon exposes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from aiohttp import ClientSession
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.core.figures import BACKLOG_COUNT_LIMIT
from dispatcher.engine.sending.recorder import WAITING_LIMIT
from dispatcher.engine.stages.loop import BACKOFF_LIMIT_SECONDS
from dispatcher.telemetry import metrics
from tests.api.conftest import Api
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
USED = re.compile(r"\b((?:dispatcher|process)_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)="([^"]*)"')


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    entries: list[dict[str, Any]] = group["rules"]
    return entries


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in json.loads((DOCS / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


async def test_every_expression_names_what_a_daemon_exposes(
    story: Story, daemons: Daemons, receiver: Receiver, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.MEASURE_SECONDS", 0.1)
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.PAUSES_SECONDS", 0.05)
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    await story.insert()
    await story.ended(DELIVERED=1)
    await until(
        lambda: (
            (metrics.REGISTRY.get_sample_value("dispatcher_shards_owned") or 0) > 0
            and "dispatcher_attempts_total{" in generate_latest(metrics.REGISTRY).decode()
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


class Limits:
    AGE_SECONDS = 86_400.0
    """Nothing bounds an age within a day."""
    COUNTER = float("inf")


def bounds() -> dict[str, float]:
    """The largest value, with the default configuration, that each compared expression can have."""
    lag = metrics.LOOP_LAG
    return {
        "absent(dispatcher_lease_valid) or sum(dispatcher_lease_valid)": 0,
        "dispatcher_lease_valid": 0,
        "max(dispatcher_oldest_due_delivery_age_seconds)": Limits.AGE_SECONDS,
        "max(dispatcher_oldest_inbox_event_age_seconds)": Limits.AGE_SECONDS,
        "max(dispatcher_longest_pause_seconds)": Limits.AGE_SECONDS,
        "time() - max(dispatcher_measured_timestamp_seconds)": Limits.AGE_SECONDS,
        'max(delta(dispatcher_endpoints{state="disabled"}[15m]))': BACKLOG_COUNT_LIMIT,
        'max(dispatcher_endpoints{state="failing"})': BACKLOG_COUNT_LIMIT,
        "max(dispatcher_triggers_disabled)": 1,
        # A counter too, as the gauge of what is in quarantine stays at BACKLOG_COUNT_LIMIT.
        "max(delta(dispatcher_quarantined_events[1h])) > 0 or"
        " sum(increase(dispatcher_events_quarantined_total[1h]))": Limits.COUNTER,
        "dispatcher_failing_stages": 1,
        "sum by (instance, stage) (increase(dispatcher_stage_failures_total[15m]))": (
            15 * 60 / BACKOFF_LIMIT_SECONDS
        ),
        "dispatcher_unrecorded_results": WAITING_LIMIT,
        "histogram_quantile(0.99, sum by (instance, le)"
        " (rate(dispatcher_event_loop_lag_seconds_bucket[5m])))": lag._upper_bounds[-2],
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_can_fire_with_the_default_configuration(rule: dict[str, Any]) -> None:
    match = re.fullmatch(r"(.+) (>|==) (?:([\d.]+)|[\d.]+ \* max\(.*\))", rule["expr"])
    assert match is not None
    expression, comparison, threshold = match.groups()
    bound = bounds()[expression]
    if comparison == ">":
        assert bound > float(threshold or 0)
    else:
        assert bound == float(threshold)


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


def test_figures_at_their_counting_limit_are_shown_as_at_least() -> None:
    for metric in (metrics.PENDING, metrics.INBOX, metrics.QUARANTINE):
        (family,) = metric.collect()
        assert f"{BACKLOG_COUNT_LIMIT} stands for that or more" in family.documentation
