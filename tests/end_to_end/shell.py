"""Commands, configured by their environment alone."""

import asyncio
import os
import pty
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from click.testing import CliRunner

from dispatcher.cli import main
from tests.end_to_end.loaded_process import ForkedCommand, LoadedProcess

KEY = bytes(range(32)).hex()
TOKEN = "t" * 40
PATIENCE = 60.0

Command: TypeAlias = Process | ForkedCommand
"""A process that runs a command: started by an interpreter, or forked."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Started:
    """A process that goes on: what it says is read line by line."""

    process: Command

    async def line(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` in the next lines of standard output."""
        assert self.process.stdout is not None
        seen = []
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                if match := re.search(pattern, line):
                    return match
                seen.append(line)
        raise AssertionError(f"no {pattern!r} in {seen} {await self.errors()}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        return self.process.returncode or 0

    async def errors(self) -> str:
        """All of standard error, once the process has ended."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands in a directory of their own, configured by their environment alone."""

    directory: Path
    environ: dict[str, str]
    loaded: LoadedProcess | None = None
    """Starts commands that are processes of their own; without it an interpreter does."""
    _started: list[Command] = field(default_factory=list)

    def setting(self, **variables: str) -> "Shell":
        """The same with other settings: `database__dsn`, and so on."""
        named = {f"DISPATCHER_{name.upper()}": value for name, value in variables.items()}
        return Shell(self.directory, {**self.environ, **named}, self.loaded, self._started)

    async def __call__(self, *args: str, stdin: bytes = b"") -> Ended:
        """Run `run` and `demo` in a process, and other commands in a thread, which is faster."""
        if args[0] in ("run", "demo"):
            return await self.process(*args, stdin=stdin)
        invoke = partial(CliRunner().invoke, main, args, env=self.environ, input=stdin)
        result = await asyncio.to_thread(invoke)
        return Ended(result.exit_code, result.stdout, result.stderr)

    async def process(self, *args: str, stdin: bytes = b"") -> Ended:
        process = await self._start(args)
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def at_a_terminal(self, *args: str, typed: bytes) -> Ended:
        """With a terminal as standard input, at which a person has typed this."""
        person, terminal = pty.openpty()
        try:
            os.write(person, typed)
            process = await self._start(args, stdin=terminal)
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate()
        finally:
            os.close(terminal)
            os.close(person)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def each(self, *commands: str) -> list[Ended]:
        return [await self(*shlex.split(command)) for command in commands]

    async def start(self, *args: str) -> Started:
        return Started(await self._start(args))

    async def run(self) -> Started:
        """The daemon, ready."""
        daemon = await self.start("run")
        await daemon.line('"event":"started"')
        return daemon

    async def _start(self, args: tuple[str, ...], stdin: int = PIPE) -> Command:
        process: Command
        if stdin == PIPE and self.loaded and self.loaded.suits(self.environ):
            process = await self.loaded.start(args, cwd=self.directory, env=self.environ)
        else:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "dispatcher", *args),
                cwd=self.directory,
                env=self.environ,
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
            )
        self._started.append(process)
        return process

    async def end(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def shell(
    directory: Path, loaded: LoadedProcess | None = None, /, **settings: str
) -> AsyncIterator[Shell]:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("DISPATCHER_", "PG", "COLUMNS"))
    }
    root = str(Path(__file__).parents[2])
    opened = Shell(directory, {**kept, "PYTHONPATH": root}, loaded).setting(
        config=os.devnull,
        database__state_directory=str(directory / "state"),
        egress__allow='["127.0.0.0/8"]',
        admin__port="0",
        **settings,
    )
    try:
        yield opened
    finally:
        await opened.end()
