"""Starts commands as forks of a process that has loaded the modules of all commands.

Loading them takes a second of processor time, a fork some milliseconds. A command is a process of
its own all the same: with its arguments, environment, directory, pipes and signals. Campaigns, the
demo and `tests/cli` start commands by the interpreter, as people do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from dispatcher.__main__ import start

_OF_INTERPRETER = ("PYTHON", "LC_", "LANG")
"""Variables that the interpreter reads when it starts: they must be those of the loaded process."""
_MODULES = "tests.end_to_end.loaded_modules"

_forks = get_context("forkserver")


class ForkedCommand:
    """A command that was started: what the tests use of asyncio.subprocess.Process."""

    returncode: int | None = None

    def __init__(
        self,
        process: ForkServerProcess,
        stdin: asyncio.WriteTransport,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
    ) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self._process = process
        self._stdin = stdin
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._end)

    def send_signal(self, number: int) -> None:
        if self.returncode is None and self._process.pid:
            with suppress(ProcessLookupError):  # it has ended; its code has not been read yet
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    async def communicate(self, stdin: bytes = b"") -> tuple[bytes, bytes]:
        """Write and close its standard input; return what it writes until it ends."""
        self._stdin.write(stdin)
        self._stdin.close()
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self.returncode = self._process.exitcode
        self._process.close()
        self._ended.set()


class LoadedProcess:
    """The process that forks for each command. It ends when the worker that made this has ended."""

    def __init__(self) -> None:
        _forks.set_forkserver_preload([__name__, _MODULES])
        self._environ = dict(os.environ)
        first = _forks.Process(target=_require_modules)
        first.start()
        first.join()
        assert first.exitcode == 0, "the modules cannot be loaded"
        first.close()

    def suits(self, environ: Mapping[str, str]) -> bool:
        """Return True if an interpreter with these variables would start as this one did."""
        return _read_at_start(environ) == _read_at_start(self._environ)

    async def start(
        self, args: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> ForkedCommand:
        """Start `dispatcher` with these arguments, its three streams being pipes."""
        stdin, stdin_writer = Pipe(duplex=False)
        stdout_reader, stdout = Pipe(duplex=False)
        stderr_reader, stderr = Pipe(duplex=False)
        streams = (stdin, stdout, stderr)
        process = _forks.Process(target=_be_command, args=(args, cwd, dict(env), streams))
        process.daemon = True  # Otherwise a worker that is interrupted would wait for its end.
        process.start()
        for stream in streams:
            stream.close()
        writer, _ = await asyncio.get_running_loop().connect_write_pipe(
            asyncio.BaseProtocol, stdin_writer
        )
        out, err = await _reader(stdout_reader), await _reader(stderr_reader)
        return ForkedCommand(process, writer, out, err)


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_OF_INTERPRETER)}


async def _reader(pipe: "Connection[object, object]") -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader


# ── in the forks ─────────────────────────────────────────────────────────────────────────────────


def _require_modules() -> None:
    """Exit with 1 if _MODULES is not loaded. Otherwise a failed import would stay unnoticed."""
    sys.exit(_MODULES not in sys.modules)


def _be_command(
    args: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    streams: "Sequence[Connection[object, object]]",
) -> None:
    """Become `dispatcher` with these arguments, directory, environment and streams."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin = os.fdopen(0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = args
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also if the worker ignores it
    start()
