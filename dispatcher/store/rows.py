"""Give records their types, so that a misspelled or mistyped column is an error of mypy.

A type is a TypedDict in the module of its noun. A row is a dict at run time. A test compares every
type with the columns that PostgreSQL describes for the statements.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import asyncpg

Row = TypeVar("Row")


def all_rows(kind: type[Row], records: Sequence[asyncpg.Record]) -> list[Row]:
    """Return all records as rows of `kind`, a TypedDict with the statement's columns."""
    return cast(list[Row], [dict(record) for record in records])


def uncopied_rows(kind: type[Row], records: Sequence[asyncpg.Record]) -> Sequence[Row]:
    """Return the records themselves, as rows of `kind` that can only be read by key.

    Use it where sending reads many rows: a dict for each would cost as much as the rest.
    """
    return cast(Sequence[Row], records)


def first_row(kind: type[Row], records: Sequence[asyncpg.Record]) -> Row | None:
    """Return the first record as a row of `kind`, or None if there is none."""
    return cast(Row, dict(records[0])) if records else None


def only_row(kind: type[Row], records: Sequence[asyncpg.Record]) -> Row:
    """Return the record of a statement that always has one, as a row of `kind`."""
    return cast(Row, dict(records[0]))
