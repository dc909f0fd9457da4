"""What a test left behind: tasks, threads, child processes and sockets.

A test that leaves them changes those that come after it, in an order that differs from run to run.
Tasks are told apart by the test that they began in, so those of a daemon that serves a whole module
are not counted; threads, children and sockets are compared with those that were there before.
"""

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

TEST: ContextVar[str | None] = ContextVar("TEST", default=None)
"""The test that runs; None in what fixtures of a module or a session start."""

PATIENCE_SECONDS = 10.0
"""Time for something that is ending already to end, on a busy machine."""
EXECUTORS = ("asyncio_", "ThreadPoolExecutor-")
"""Threads of pools: an event loop keeps its own for the next call."""

_owned: dict[str, "weakref.WeakSet[asyncio.Task[Any]]"] = {}


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    *,
    context: Context | None = None,
    **options: Any,
) -> "asyncio.Task[Any]":
    """Make a task as the loop would, and note the test whose it is."""
    task = asyncio.Task(coroutine, loop=loop, context=context, **options)
    owner = (copy_context() if context is None else context).get(TEST)
    if owner in _owned:
        _owned[owner].add(task)
    return task


class Watch:
    """Notes what is there when a test begins; `leftovers` is what it left.

    If the test is not `alone`, but asks a daemon that serves others too, only its tasks are counted.
    """

    def __init__(self, test: str, loop: asyncio.AbstractEventLoop, *, alone: bool) -> None:
        self._test = test
        self._loop = loop
        self._tasks = _owned[test] = weakref.WeakSet()
        self._alone = alone
        if alone:
            self._threads = set(threading.enumerate())
            self._children = children()
            self._sockets = socket_descriptors()

    def leftovers(self) -> list[str]:
        """Return a line for each; wait for those that are about to end."""
        del _owned[self._test]
        lines = [f"task {task}" for task in self._unfinished()]
        if not self._alone:
            return lines
        lines += [f"thread {thread.name}" for thread in self._running()]
        left = self._settled(children, self._children)
        lines += [f"child process {described(child)}" for child in left]
        if socket_descriptors() - self._sockets:
            gc.collect()  # a forgotten one warns, which fails the test too
            left = self._settled(socket_descriptors, self._sockets)
            lines += [described_socket(name) for name in left]
        return lines

    def _unfinished(self) -> list["asyncio.Task[Any]"]:
        tasks = [task for task in self._tasks if not task.done()]
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE_SECONDS))
        return [task for task in tasks if not task.done()]

    def _running(self) -> list[threading.Thread]:
        threads = [
            thread
            for thread in set(threading.enumerate()) - self._threads
            if not thread.name.startswith(EXECUTORS)
        ]
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        return [thread for thread in threads if thread.is_alive()]

    def _settled(self, now: Callable[[], set[str]], before: set[str]) -> set[str]:
        """Return what is there beside `before`, after at most PATIENCE_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (rest := now() - before) and time.monotonic() < deadline:
            self._loop.run_until_complete(asyncio.sleep(0.01))
        return rest


def children() -> set[str]:
    """Return the process ids of this process's children, also of those that have ended."""
    ids: set[str] = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                ids.update(file.read().split())
        except OSError:  # the thread has ended, or the kernel does not tell
            continue
    return ids


def described(child: str) -> str:
    try:
        with open(f"/proc/{child}/cmdline") as file:
            return f"{child} {file.read()[:200]!r}"
    except OSError:
        return child


def described_socket(name: str) -> str:
    """Return the name with its line of the kernel's table, which has the ports in hexadecimal."""
    inode = name.removeprefix("socket:").strip("[]")
    for table in ("tcp", "tcp6", "unix"):
        with open(f"/proc/self/net/{table}") as file:
            for line in file:
                if inode in line.split():
                    return f"{name} {table} {' '.join(line.split()[:4])}"
    return name


def socket_descriptors() -> set[str]:
    """Return the open sockets of this process, as the kernel names them."""
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # that of the listing itself
            continue
        if target.startswith("socket:"):
            names.add(target)
    return names
