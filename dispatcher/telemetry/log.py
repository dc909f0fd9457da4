"""How log lines are written: one JSON object a line on standard output, or colours on a terminal.

`observe.py` decides what is said. Whatever the standard library and aiohttp say through `logging`
comes out in the same form.
"""

import contextlib
import functools
import io
import json
import logging
import re
import sys
from typing import IO, Any, BinaryIO, Self, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRET_KEY = re.compile(r"secret|token|password|dsn|authorization|signature", re.IGNORECASE)
_REDACTED = "[redacted]"


def configure(level: str, format: str, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (standard output) from `level` on.

    `level` is debug, info, warning or error; `format` json, console, or auto, which is console
    when the stream is a terminal. May be called again.
    """
    out = stream or sys.stdout
    console = format == "console" or (format == "auto" and out.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_COMMON, *(_console(out) if console else _JSON)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Output(out if console else out.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=threshold, force=True)
    logging.captureWarnings(True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: what stands under a key that names a secret is not written."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: Any) -> Any:
    if isinstance(key, str) and _names_secret(key):
        return _REDACTED
    if isinstance(value, dict):
        return {inner: _redacted(inner, each) for inner, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_redacted(None, each) for each in value)
    return value


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _json(event: EventDict, **_: Any) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits: still worth a line
        return json.dumps(event, default=repr, skipkeys=True).encode()


def _console(out: TextIO) -> list[Processor]:
    # The pretty formatter of tracebacks shows local variables, and so secrets.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    redact,
]
_JSON: list[Processor] = [
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(serializer=_json),
]


class _Output:
    """Writes finished lines. A failure stays here: a full disk must not stop deliveries."""

    def __init__(self, stream: TextIO | BinaryIO) -> None:
        self._stream: IO[Any] = stream
        self._end: str | bytes = "\n" if isinstance(stream, io.TextIOBase) else b"\n"

    def __call__(self, *_names: str) -> Self:
        """The factory of loggers and the only logger in one."""
        return self

    def msg(self, line: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream has been closed
            self._stream.write(line + self._end)
            self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Forward(logging.Handler):
    """Hands the records of `logging` to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )
