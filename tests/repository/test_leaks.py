"""What a test leaves behind is found."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from tests import leaks

NAME = "another test"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE_SECONDS", 0.1)


@pytest.fixture
def watch(tests_loop: asyncio.AbstractEventLoop) -> leaks.Watch:
    return leaks.Watch(NAME, tests_loop, alone=True)


def test_no_leftover_is_reported_if_a_test_leaves_none(watch: leaks.Watch) -> None:
    assert watch.leftovers() == []


def test_a_task_that_goes_on_is_found(
    watch: leaks.Watch, tests_loop: asyncio.AbstractEventLoop
) -> None:
    async def leave() -> "asyncio.Task[bool]":
        return asyncio.create_task(asyncio.Event().wait())

    owner = leaks.TEST.set(NAME)
    task = tests_loop.run_until_complete(leave())
    leaks.TEST.reset(owner)
    [line] = watch.leftovers()
    task.cancel()
    assert line.startswith("task ")


def test_a_thread_that_goes_on_is_found(watch: leaks.Watch) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="goes on")
    thread.start()
    assert watch.leftovers() == ["thread goes on"]
    end.set()
    thread.join()


def test_a_child_process_is_found(watch: leaks.Watch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        [line] = watch.leftovers()
    assert line.startswith(f"child process {child.pid} ")


def test_an_open_socket_is_found(watch: leaks.Watch) -> None:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        [line] = watch.leftovers()
    assert line.startswith("socket:[")
