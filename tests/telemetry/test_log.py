import errno
import io
import json
import logging
import os
import pty
import re
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from dispatcher.telemetry import log

SECRET = "hunter2-not-to-be-seen"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def output() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def entries(output: io.TextIOWrapper) -> list[dict[str, Any]]:
    output.seek(0)
    return [json.loads(line) for line in output]


def test_an_entry_is_one_line_of_json(output: io.TextIOWrapper) -> None:
    log.configure("info", "auto", output)
    structlog.get_logger().info("attempt\nrecorded", status=200, took=0.5)
    (entry,) = entries(output)
    written = datetime.fromisoformat(entry.pop("timestamp"))
    assert written.utcoffset() == timedelta(0)
    assert entry == {"level": "info", "event": "attempt\nrecorded", "status": 200, "took": 0.5}


def test_lines_below_the_level_are_not_logged(output: io.TextIOWrapper) -> None:
    log.configure("warning", "json", output)
    structlog.get_logger().info("quiet")
    logging.getLogger("aiohttp.access").info("quiet")
    structlog.get_logger().warning("loud")
    assert [entry["event"] for entry in entries(output)] == ["loud"]


def test_records_of_the_standard_library_have_the_same_form(output: io.TextIOWrapper) -> None:
    log.configure("info", "json", output)
    failure = RuntimeError("broken")
    logging.getLogger("asyncio").error("Task %s failed", "fanout", exc_info=failure)
    (entry,) = entries(output)
    assert (entry["level"], entry["logger"]) == ("error", "asyncio")
    assert entry["event"] == "Task fanout failed"
    assert entry["exception"].endswith("RuntimeError: broken")


def test_a_warning_becomes_an_entry(output: io.TextIOWrapper) -> None:
    log.configure("info", "json", output)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("deprecated", stacklevel=1)
    (entry,) = entries(output)
    assert (entry["level"], entry["logger"]) == ("warning", "py.warnings")


@pytest.mark.parametrize(
    "fields",
    [
        {"secret": SECRET},
        {"signing_secret": SECRET},
        {"API_TOKEN": SECRET},
        {"password": [SECRET]},
        {"dsn": {"of": SECRET}},
        {"headers": {"Authorization": SECRET, "X-Paylent-Signature": SECRET}},
        {"requests": [{"headers": {"webhook-signature": SECRET}}]},
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_values_of_secret_keys_are_not_logged(
    output: io.TextIOWrapper, fields: dict[str, Any], form: str
) -> None:
    log.configure("info", form, output)
    structlog.get_logger().info("sent", **fields)
    output.seek(0)
    text = output.read()
    assert "[redacted]" in text
    assert SECRET not in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(output: io.TextIOWrapper, form: str) -> None:
    def fail(secret: str) -> None:
        raise RuntimeError("broken" if secret else "")

    log.configure("info", form, output)
    try:
        fail(SECRET)
    except RuntimeError:
        structlog.get_logger().exception("failed")
    output.seek(0)
    text = output.read()
    assert "RuntimeError: broken" in text
    assert SECRET not in text


def test_redacting_leaves_the_callers_values_alone(output: io.TextIOWrapper) -> None:
    log.configure("info", "json", output)
    headers = {"Authorization": SECRET}
    structlog.get_logger().info("sent", headers=headers)
    assert headers == {"Authorization": SECRET}


@pytest.mark.parametrize("value", ["\ud800", 2**70, object(), {3: 4}, b"\xff"])
def test_any_value_can_be_written(output: io.TextIOWrapper, value: object) -> None:
    log.configure("info", "json", output)
    structlog.get_logger().info("odd", value=value)
    (entry,) = entries(output)
    assert entry["event"] == "odd"
    assert "value" in entry


class _Disk(io.RawIOBase):
    """A file on a disk that is full until it is freed."""

    def __init__(self) -> None:
        self.full = True
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += bytes(data)
        return len(data)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_full_disk_stops_nothing_and_is_written_to_once_freed(form: str) -> None:
    disk = _Disk()
    output = io.TextIOWrapper(io.BufferedWriter(disk), write_through=True)
    log.configure("info", form, output)
    structlog.get_logger().info("first")
    logging.getLogger("asyncio").error("second")
    assert disk.written == b""
    disk.full = False
    structlog.get_logger().info("third")
    assert b"third" in disk.written
    output.close()


def test_a_closed_stream_stops_nothing(output: io.TextIOWrapper) -> None:
    log.configure("info", "json", output)
    output.close()
    structlog.get_logger().info("lost")
    assert output.closed


def test_a_terminal_gets_readable_lines_instead_of_json() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        log.configure("info", "auto", terminal)
        structlog.get_logger().info("started", port=8400)
    text = re.sub(r"\x1b\[[0-9;]*m", "", os.read(master, 4096).decode())
    os.close(master)
    assert re.search(r"\[info +\] started +port=8400", text)


def test_a_terminal_gets_json_when_asked() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        log.configure("info", "json", terminal)
        structlog.get_logger().info("started")
    assert json.loads(os.read(master, 4096))["event"] == "started"
    os.close(master)


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(KeyError):
        log.configure("loud", "json")
