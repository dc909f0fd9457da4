import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.telemetry import systemd as systemd_module


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """systemd's end of the socket, named in NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        if request.param == "path":
            address = str(tmp_path / "notify")
            listening.bind(address)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
        else:
            name = f"dispatcher-test-{os.getpid()}"
            listening.bind(f"\0{name}")
            monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        yield listening


def test_messages_to_systemd_are_in_order(systemd: socket.socket) -> None:
    systemd_module.ready("delivering")
    systemd_module.watchdog()
    systemd_module.stopping()
    assert [systemd.recv(4096) for _ in range(3)] == [
        b"READY=1\nSTATUS=delivering",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_status_cannot_forge_another_message(systemd: socket.socket) -> None:
    systemd_module.ready("fine\nSTOPPING=1")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=fine STOPPING=1"


@pytest.mark.parametrize(
    "address", [None, "", "relative", "vsock:2:1", "/does/not/exist", "@", "/" + "x" * 200]
)
def test_a_missing_listener_is_no_failure(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd_module.ready("delivering \ud800")
    systemd_module.stopping()


def test_a_full_socket_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        for _ in range(2000):
            systemd_module.watchdog()


@pytest.mark.parametrize(
    ("microseconds", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", "", 15.0),
        ("500000", "ours", 0.25),
        ("30000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("-1", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_interval_is_half_of_what_systemd_allows(
    microseconds: str | None,
    pid: str | None,
    interval: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid  # a worker's own: no part of a test's name
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert systemd_module.watchdog_interval() == interval
