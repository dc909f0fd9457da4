"""The statements, read from `sql/queries/<noun>/<method>.sql`."""

from functools import cache

from dispatcher import sqlfiles


@cache
def statement(name: str) -> str:
    """The text of one statement, by its `noun/method`."""
    return sqlfiles.root().joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
