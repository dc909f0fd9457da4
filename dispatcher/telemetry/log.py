"""The form of log lines: one JSON object a line on standard output, or colours on a terminal.

The modules of `observe/` decide what to log, and word it. Records of the standard library and
aiohttp, which use `logging`, get the same form.
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
    """Send all log lines of at least `level` to `stream` (default: standard output).

    `level` is debug, info, warning or error. `format` is json, console or auto, which is console if
    the stream is a terminal. Call it before the first line: a logger of structlog that has logged
    keeps its settings.
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
    """Replace values whose key names a secret, as a structlog processor."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: object) -> object:
    if isinstance(key, str) and _names_secret(key):
        return _REDACTED
    if isinstance(value, dict):
        return {inner: _redacted(inner, member) for inner, member in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_redacted(None, element) for element in value)
    return value


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _json(event: EventDict, **_: object) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # A lone surrogate or an integer beyond 64 bits. Otherwise the line is lost.
        return json.dumps(event, default=repr, skipkeys=True).encode()


def _console(out: TextIO) -> list[Processor]:
    # The default formatter of tracebacks shows local variables, which may hold secrets.
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
    """A writer of finished lines that ignores errors: a full disk must not stop deliveries."""

    def __init__(self, stream: TextIO | BinaryIO) -> None:
        self._stream: IO[Any] = stream
        self._end: str | bytes = "\n" if isinstance(stream, io.TextIOBase) else b"\n"

    def __call__(self, *_names: str) -> Self:
        """Return the only logger: this object is the logger factory too."""
        return self

    def msg(self, line: Any) -> None:  # noqa: ANN401 - text or bytes, as the stream takes
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(line + self._end)
            self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Forward(logging.Handler):
    """A handler that passes the records of `logging` to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )
