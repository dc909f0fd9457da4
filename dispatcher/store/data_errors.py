"""Which errors speak of the data of a statement, and not of the database as a whole."""

import asyncpg

_MESSAGE_CHARACTERS = 300

_DATA_ERRORS = (
    asyncpg.DataError,  # out of range, not a date, no such character
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.ProgramLimitExceededError,  # an index entry that is too long
    asyncpg.exceptions.PLPGSQLError,  # RAISE in a trigger that somebody has added
    asyncpg.exceptions.TriggeredActionError,
    asyncpg.exceptions.TriggeredDataChangeViolationError,
    asyncpg.exceptions.WithCheckOptionViolationError,
    asyncpg.exceptions.DataCorruptedError,
    ValueError,  # what cannot be encoded does not even reach the database
    OverflowError,
)


def is_data_error(error: BaseException) -> bool:
    """Return True if the same statement may succeed with other data.

    Such an error is answered by leaving out the row that causes it. For any other one nothing can
    be done but to try again later.
    """
    return isinstance(error, _DATA_ERRORS)


def describe(error: BaseException) -> str:
    """Return the kind of the error and its message, printable, at most about 350 characters.

    Without the DETAIL lines of PostgreSQL, which repeat whole rows.
    """
    message = str(error.args[0]) if error.args else ""
    printable = "".join(c if c.isprintable() else "?" for c in message[:_MESSAGE_CHARACTERS])
    return f"{type(error).__name__}: {printable}"
