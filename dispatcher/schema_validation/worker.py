"""A separate process for schema checks, so that an expensive check harms only this process.

The process limits itself: processor time for each check, memory for all, no file and no connection.
It checks in a child. A check that exceeds a limit ends the child, and the process makes another
one: to start a process from here would hold the event loop for 10 ms, each time. Both end with the
process that started them.
"""

import asyncio
import gc
import os
import resource
import select
import signal
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from time import process_time
from typing import BinaryIO, NoReturn, Self

import orjson

from dispatcher.schema_validation import validate
from dispatcher.schema_validation.validate import Rejection

PROCESSOR_SECONDS = 1.0
"""Processor time of one check."""
MEMORY_LIMIT_BYTES = 768 * 2**20
"""Bytes of address space of the process."""
START_LIMIT_SECONDS = 20.0
"""Seconds until the process must be ready."""
ANSWER_LIMIT_SECONDS = 20.0
"""Seconds until a result, even on a busy processor. Otherwise a frozen process blocks all checks.
"""
END_LIMIT_SECONDS = 1.0
"""Seconds from the end of its output to the end of the process."""

_HEAD = struct.Struct(
    "!iI"
)  # sizes in bytes of the data (-1: none) and of the schema, which follow in this order
_READY = b"ready\n"
_TOO_LONG = b"too long\n"
"""Said instead of an answer: the check took more than PROCESSOR_SECONDS."""
_ENDED = b"ended\n"
"""Said instead of an answer: the child ended for another reason."""
_UNBOUNDED = b"unbounded "
_ARGUMENTS = ("-P", "-m", "dispatcher.schema_validation.worker")


class SandboxUnavailableError(Exception):
    """The worker process cannot be started, or gets no processor time.

    This says nothing about the schema or the data.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"schema checks are unavailable: {reason}")


class Sandbox:
    """The worker process. The first check starts it; it does one check at a time.

    If `is_idle`, the process runs only while nothing else needs the processor.
    """

    def __init__(self, *, is_idle: bool = False) -> None:
        self._is_idle = is_idle
        self.used_seconds = 0.0
        """Processor time of the last check."""
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def validate(self, schema: str, data: str | None = None) -> Rejection | None:
        """Check as `validate.validate` does; reject also what takes too much time or memory.

        Raise SandboxUnavailableError if the process cannot be started, or if it is idle and other
        processes leave it no time.
        """
        for _ in range(2):  # the first process may have ended for another reason
            try:
                line = await self._ask(schema.encode(), None if data is None else data.encode())
            except (EOFError, OSError, TimeoutError) as error:
                await self._ended()
                if self._is_idle and isinstance(error, TimeoutError):
                    raise SandboxUnavailableError("the processor is too busy") from None
                continue
            except BaseException:
                await self._end()  # otherwise the next check reads the rest of this result
                raise
            if line == _TOO_LONG:
                break
            if line != _ENDED:
                self.used_seconds, answer = orjson.loads(line)
                return Rejection(*answer) if answer else None
        self.used_seconds = PROCESSOR_SECONDS
        return Rejection("too_expensive", "checking it takes too much time or memory")

    async def close(self) -> None:
        """End the process. The next check starts another."""
        await self._end()

    async def _ask(self, schema: bytes, data: bytes | None) -> bytes:
        questions, answers = _pipes(self._process or await self._start())
        head = _HEAD.pack(-1 if data is None else len(data), len(schema))
        async with asyncio.timeout(ANSWER_LIMIT_SECONDS):
            questions.write(b"".join((head, data or b"", schema)))
            await questions.drain()
            line = await answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    async def _start(self) -> Process:
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *_ARGUMENTS),
                # Pass none of our environment: it may hold secrets.
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,  # otherwise Ctrl-C at the terminal ends it
            )
            if self._is_idle:
                _yield_processor(process.pid)
            async with asyncio.timeout(START_LIMIT_SECONDS):
                ready = await _pipes(process)[1].readline()
        except (OSError, TimeoutError) as error:
            await self._end()
            raise SandboxUnavailableError(str(error) or "it does not start") from error
        except BaseException:
            await self._end()
            raise
        if ready.startswith(_UNBOUNDED):
            await self._end()
            limit = ready.removeprefix(_UNBOUNDED).decode(errors="replace").strip()
            raise SandboxUnavailableError(f"this system does not let it bound itself: {limit}")
        if ready != _READY:
            raise SandboxUnavailableError(f"it ended with {await self._ended()} at its start")
        return process

    async def _ended(self) -> int | None:
        """Return how the process ended by itself: its exit code, negative for a signal.

        Return None if there is no process. A process that still runs is killed.
        """
        if self._process is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_LIMIT_SECONDS):
                    await self._process.wait()
        return await self._end()

    async def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        # If it has ended by itself, another process may have its number by now. Then its child ends
        # at the end of its input, or after PROCESSOR_SECONDS.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its child too: it leads their session
        return await process.wait()


def _yield_processor(pid: int) -> None:
    """Let a process run only while nothing else needs the processor.

    A lower priority alone is not enough. The system counts a processor with an idle process as free
    and wakes other processes on it; beside a process of low priority they would wait for another.
    If the system does not allow it, the process runs as all others do.
    """
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "SCHED_IDLE"):  # Linux
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.setpriority(os.PRIO_PROCESS, pid, 19)


def _pipes(process: Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise SandboxUnavailableError("it was started without pipes")
    return process.stdin, process.stdout


def _check_in_children(questions: BinaryIO, answers: BinaryIO) -> None:
    """Let a child check what comes in, and after its end another one, until the input ends."""
    while True:
        # Fork only when there is a question: our parent sets the scheduling policy before the first
        # one, and the child inherits it.
        select.select([questions], [], [])
        child = os.fork()
        if not child:
            _answer_and_exit(questions, answers)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return
        answers.write(_TOO_LONG if code == -signal.SIGPROF else _ENDED)
        answers.flush()


def _answer_and_exit(questions: BinaryIO, answers: BinaryIO) -> NoReturn:
    code = 1
    try:
        _answer(questions, answers)
        code = 0
    finally:
        os._exit(code)


def _answer(questions: BinaryIO, answers: BinaryIO) -> None:
    """Check what comes in until the input ends."""
    while head := questions.read(_HEAD.size):
        data_size, schema_size = _HEAD.unpack(head)
        data = None if data_size < 0 else questions.read(data_size).decode()
        schema = questions.read(schema_size).decode()
        # The signal ends the process if the check takes longer.
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        began = process_time()
        rejection = validate.validate(schema, data)
        used = process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        answer = (used, rejection and (rejection.reason, rejection.detail))
        answers.write(orjson.dumps(answer) + b"\n")
        answers.flush()


def _confine() -> str | None:
    """Set the limits of this process.

    Return None if all are set; otherwise which one could not be set, and why.
    """
    gc.disable()  # collection costs time and frees nothing among a check's millions of values
    # Load what Python imports late: afterwards no file can be opened.
    validate.validate('{"type":"number"}', "1.5")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for name, amount in (
        ("RLIMIT_AS", MEMORY_LIMIT_BYTES),
        ("RLIMIT_NOFILE", 0),
        ("RLIMIT_CORE", 0),
    ):
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        try:
            resource.setrlimit(limit, (allowed, allowed))
        except (OSError, ValueError) as error:
            return f"{name}: {error}"
    return None


def main() -> None:
    """Limit this process, report that it is ready, and check until the input ends."""
    refused = _confine()
    line = _READY if refused is None else _UNBOUNDED + f"{refused}\n".encode()
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if refused is None:
        _check_in_children(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
