"""A process of its own that compares data with schemas: whatever they do to it, only it suffers.

It bounds itself: processor time for each question, memory for all, no file and no connection. It
dies of what is too much, and the next question starts another. It ends with whoever started it.
"""

import asyncio
import gc
import os
import resource
import signal
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import BinaryIO, Self

import orjson

from dispatcher.schema_validation import validate
from dispatcher.schema_validation.validate import Refusal

PROCESSOR_SECONDS = 1.0
"""For one question."""
MEMORY = 768 * 2**20
START_LIMIT = 20.0
ANSWER_LIMIT = 20.0
"""Seconds until an answer, however little of the processor it gets: it may be frozen."""
END_LIMIT = 1.0
"""Seconds from the end of its answers to its own."""

_HEAD = struct.Struct(
    "!iI"
)  # bytes of data (-1: none) and of the schema, which follow in this order
_READY = b"ready\n"
_UNBOUNDED = b"unbounded "
_ARGUMENTS = ("-P", "-m", "dispatcher.schema_validation.worker")


class SandboxUnavailable(Exception):
    """The process cannot be started. It says nothing about schema or data."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"schema checks are unavailable: {reason}")


class Sandbox:
    """Started by the first question; one question at a time.

    `niceness` is by how much the process gives way to others (0 to 19).
    """

    def __init__(self, *, niceness: int = 0) -> None:
        self._niceness = niceness
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def judge(self, schema: str, data: str | None = None) -> Refusal | None:
        """As `schemas.judge`; also refuses what takes too much. Raises SandboxUnavailable."""
        for _ in range(2):  # the first may have died of something else
            try:
                return await self._ask(schema.encode(), None if data is None else data.encode())
            except (EOFError, OSError, TimeoutError):
                if await self._ended() == -signal.SIGPROF:
                    break
            except BaseException:
                await self._end()  # what is half read can not be read on
                raise
        return Refusal("too_costly", "comparing it with the schema takes too much time or memory")

    async def close(self) -> None:
        await self._end()

    async def _ask(self, schema: bytes, data: bytes | None) -> Refusal | None:
        questions, answers = _pipes(self._process or await self._start())
        head = _HEAD.pack(-1 if data is None else len(data), len(schema))
        async with asyncio.timeout(ANSWER_LIMIT):
            questions.write(b"".join((head, data or b"", schema)))
            await questions.drain()
            line = await answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = orjson.loads(line)
        return Refusal(*answer) if answer else None

    async def _start(self) -> Process:
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *_ARGUMENTS, str(self._niceness)),
                # Nothing of ours: the environment may hold secrets.
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,  # what is typed at a terminal is not for it
            )
            async with asyncio.timeout(START_LIMIT):
                ready = await _pipes(process)[1].readline()
        except (OSError, TimeoutError) as error:
            await self._end()
            raise SandboxUnavailable(str(error) or "it does not start") from error
        except BaseException:
            await self._end()
            raise
        if ready.startswith(_UNBOUNDED):
            await self._end()
            limit = ready.removeprefix(_UNBOUNDED).decode(errors="replace").strip()
            raise SandboxUnavailable(f"this system does not let it bound itself: {limit}")
        if ready != _READY:
            raise SandboxUnavailable(f"it ended with {await self._ended()} at its start")
        return process

    async def _ended(self) -> int | None:
        """How it ended by itself, if it did: negative for a signal."""
        if self._process is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_LIMIT):
                    await self._process.wait()
        return await self._end()

    async def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        return await process.wait()


def _pipes(process: Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise SandboxUnavailable("it was started without pipes")
    return process.stdin, process.stdout


def _answer(questions: BinaryIO, answers: BinaryIO) -> None:
    """Until nobody asks any more."""
    while head := questions.read(_HEAD.size):
        data_size, schema_size = _HEAD.unpack(head)
        data = None if data_size < 0 else questions.read(data_size).decode()
        schema = questions.read(schema_size).decode()
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)  # the signal ends the process
        refusal = validate.judge(schema, data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(orjson.dumps(refusal and (refusal.reason, refusal.detail)) + b"\n")
        answers.flush()


def _confine() -> str | None:
    """Set the limits of this process. Return which one could not be set, and why; None if all are."""
    gc.disable()  # of millions of small values there is nothing to collect before the answer
    validate.judge('{"type":"number"}', "1.5")  # loads whatever is loaded late
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for name, amount in (("RLIMIT_AS", MEMORY), ("RLIMIT_NOFILE", 0), ("RLIMIT_CORE", 0)):
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        try:
            resource.setrlimit(limit, (allowed, allowed))
        except (OSError, ValueError) as error:
            return f"{name}: {error}"
    return None


def main() -> None:
    os.nice(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    refused = _confine()
    line = _READY if refused is None else _UNBOUNDED + f"{refused}\n".encode()
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if refused is None:
        _answer(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
