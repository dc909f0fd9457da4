"""Observe one daemon: its start, its end and its current state."""

import structlog

from dispatcher.core.figures import Vitals
from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def started(version: str, admin: str) -> None:
    """Log that the daemon sends; `admin` is the URL of the admin port."""
    _log.info("started", version=version, admin=admin)


def listening() -> None:
    """Log that the daemon is notified of new events."""
    _log.info("listening")


def shards_changed(daemon: int | None, owned: int) -> None:
    """Log how many shards the daemon owns now; `daemon` is None if it gave up all of them."""
    _log.info("shards changed", daemon=daemon, owned=owned)


def draining(in_flight: int, unrecorded: int) -> None:
    """Log that the daemon stops, and how much it has to finish first."""
    _log.info("draining", in_flight=in_flight, unrecorded=unrecorded)


def drain_cut_short(in_flight: int, unrecorded: int) -> None:
    """Log what the daemon did not finish before its end; another daemon sends it again."""
    _log.warning("drain cut short", in_flight=in_flight, unrecorded=unrecorded)


def drain_step_failed(error: BaseException) -> None:
    """Log that a step of the drain failed, not because of the database."""
    _log.error("drain step failed", error=type(error).__name__, exc_info=error)


def stopped() -> None:
    """Log that the daemon has ended."""
    _log.info("stopped")


def vitals(current: Vitals) -> None:
    """Set the metrics of this daemon's current state."""
    metrics.IN_FLIGHT.set(current.in_flight)
    metrics.UNRECORDED.set(current.unrecorded)
    metrics.SHARDS_OWNED.set(current.shards)
    metrics.LEASE_VALID.set(current.lease_valid)
    metrics.LISTENER_CONNECTED.set(current.listening)
    metrics.STAGE_FAILING.set(current.stages_failing)
    metrics.SESSIONS.labels("busy").set(current.connections_busy)
    metrics.SESSIONS.labels("idle").set(current.connections_idle)


def loop_lag(seconds: float) -> None:
    """Count how late a timer of the event loop was."""
    metrics.LOOP_LAG.observe(seconds)
