"""Decide which errors are caused by the data of a statement, not by the database as a whole."""

import asyncpg

_MESSAGE_LIMIT_CHARACTERS = 300

_DATA_ERRORS = (
    asyncpg.DataError,  # out of range, not a date, an unknown character
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.ProgramLimitExceededError,  # an index entry is too long
    asyncpg.exceptions.PLPGSQLError,  # RAISE in a trigger that an administrator has added
    asyncpg.exceptions.TriggeredActionError,
    asyncpg.exceptions.TriggeredDataChangeViolationError,
    asyncpg.exceptions.WithCheckOptionViolationError,
    asyncpg.exceptions.DataCorruptedError,
    ValueError,  # a value that cannot be encoded never reaches the database
    OverflowError,
)


def is_data_error(error: BaseException) -> bool:
    """Return True if the same statement may succeed with other data.

    The caller then leaves out the row that causes the error. After any other error it can only try
    again later.
    """
    return isinstance(error, _DATA_ERRORS)


def describe(error: BaseException) -> str:
    """Return the type of the error and its message: printable, at most about 350 characters.

    The DETAIL lines of PostgreSQL are left out, because they repeat whole rows.
    """
    message = str(error.args[0]) if error.args else ""
    printable = "".join(c if c.isprintable() else "?" for c in message[:_MESSAGE_LIMIT_CHARACTERS])
    return f"{type(error).__name__}: {printable}"
