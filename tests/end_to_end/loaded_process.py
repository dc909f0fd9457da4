"""A process that has loaded the modules of all commands, and forks for each command.

Loading them takes a second of processor time, a fork some milliseconds. The command is a process of
its own as before: with its arguments, environment, directory, pipes and signals. Campaigns, the
demo and `tests/cli` start commands by the interpreter, as people do.
"""

import asyncio
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import dispatcher

_NUMBER = struct.Struct("!i")
_LOADED = b"loaded"
_REQUEST_LIMIT_BYTES = 128 * 1024
_STREAM_LIMIT_BYTES = 2**16
_OF_INTERPRETER = ("PYTHON", "LC_", "LANG")
"""Variables that the interpreter reads when it starts: they must be those of the loaded process."""


class LoadedProcess:
    """The worker's side: it starts the process, and then commands in forks of it."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        assert self._requests.recv(len(_LOADED)) == _LOADED, "the modules cannot be loaded"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait()

    def suits(self, environ: Mapping[str, str]) -> bool:
        """Whether an interpreter with these variables would start as this one did."""
        return _read_at_start(environ) == _read_at_start(self.environ)

    async def start(self, args: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Process:
        """Start `dispatcher` with these arguments, its three streams being pipes."""
        loop = asyncio.get_running_loop()
        protocol = SubprocessStreamProtocol(limit=_STREAM_LIMIT_BYTES, loop=loop)
        waiter = loop.create_future()
        request = json.dumps([args, str(cwd), dict(env)]).encode()
        transport = _Transport(
            *(loop, protocol, request, False, PIPE, PIPE, PIPE, 0),
            waiter=waiter,
            requests=self._requests,
        )
        await waiter
        return Process(transport, protocol, loop)


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_OF_INTERPRETER)}


class _Fork:
    """What asyncio knows of a process, as subprocess.Popen has it."""

    returncode: int | None = None

    def __init__(self, request: bytes, requests: socket.socket) -> None:
        read, self._stdin = os.pipe()
        self._stdout, write = os.pipe()
        self._stderr, write_errors = os.pipe()
        self.answers, theirs = socket.socketpair()
        given = [read, write, write_errors, theirs.fileno()]
        socket.send_fds(requests, [request], given)
        theirs.close()
        for descriptor in given[:3]:
            os.close(descriptor)
        self.stdin = open(self._stdin, "wb", buffering=0)  # noqa: SIM115 - the transport closes it
        self.stdout = open(self._stdout, "rb", buffering=0)  # noqa: SIM115
        self.stderr = open(self._stderr, "rb", buffering=0)  # noqa: SIM115
        (self.pid,) = _NUMBER.unpack(self.answers.recv(_NUMBER.size))

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended; its answer has not been read yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Transport(BaseSubprocessTransport):
    def _start(  # type: ignore[override]  # what is not used here is not named
        self, args: bytes, *_: object, requests: socket.socket, **__: object
    ) -> None:
        self._proc: Any = _Fork(args, requests)
        self._loop.add_reader(self._proc.answers, self._ended)

    def _ended(self) -> None:
        answer = self._proc.answers.recv(_NUMBER.size)
        self._loop.remove_reader(self._proc.answers)
        self._proc.answers.close()
        (code,) = _NUMBER.unpack(answer) if answer else (255,)
        self._process_exited(code)


# ── the other side ───────────────────────────────────────────────────────────────────────────────


def _load() -> None:
    for module in pkgutil.walk_packages(dispatcher.__path__, "dispatcher."):
        import_module(module.name)
    gc.collect()
    gc.freeze()


def _fork_for_each(requests: socket.socket) -> bool:
    """Return True in each command, and False when there will be no more requests."""
    running: dict[int, tuple[int, int]] = {}
    """By a descriptor that is readable once the command has ended: its number, and who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is for the worker
    requests.send(_LOADED)
    while True:
        ready, _, _ = select.select([requests.fileno(), *running], [], [])
        for descriptor in running.keys() & set(ready):
            pid, asking = running.pop(descriptor)
            _answer(asking, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os.close(asking)
            os.close(descriptor)
        if requests.fileno() not in ready:
            continue
        request, given, _, _ = socket.recv_fds(requests, _REQUEST_LIMIT_BYTES, 4)
        if not request:
            break
        if _is_forked(given, running):
            requests.close()
            _become(request, given, others=[*running, *(asking for _, asking in running.values())])
            return True
    for pid, _ in running.values():
        os.kill(pid, signal.SIGKILL)
    return False


def _is_forked(given: list[int], running: dict[int, tuple[int, int]]) -> bool:
    """Fork, and return True in the new process. Note it in `running`, and answer its number."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return True
    for descriptor in given[:3]:
        os.close(descriptor)
    running[os.pidfd_open(pid)] = pid, given[3]
    _answer(given[3], pid)
    return False


def _answer(descriptor: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test has ended
        os.write(descriptor, _NUMBER.pack(number))


def _become(request: bytes, given: list[int], *, others: list[int]) -> None:
    """Give this fork the arguments, directory, environment and streams of a command."""
    args, cwd, environ = json.loads(request)
    for number, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, number)
    for descriptor in (*given, *others):
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = args


def main() -> None:
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        is_command = _fork_for_each(requests)
    if is_command:
        from dispatcher.__main__ import start

        start()


if __name__ == "__main__":
    main()
