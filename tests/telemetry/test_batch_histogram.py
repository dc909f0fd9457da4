"""A histogram that counts batches shows the same as one that counts each observation."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from dispatcher.telemetry.batch_histogram import BatchHistogram

BUCKETS = (0.005, 0.01, 1, 2.5)
VALUES = [0.0, 0.005, 0.005, 0.006, 0.01, 1.0, 2.0, 2.5, 2.6, 100.0]


def samples(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_batches_are_counted_like_single_observations() -> None:
    expected, registry = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("seconds", "Time", buckets=BUCKETS, registry=expected)
    batches = BatchHistogram("seconds", "Time", buckets=BUCKETS)
    registry.register(batches)
    for value in VALUES:
        histogram.observe(value)
    batches.observe_all(VALUES[:4])
    batches.observe_all([])
    batches.observe_all(VALUES[4:])
    assert samples(registry) == samples(expected)
