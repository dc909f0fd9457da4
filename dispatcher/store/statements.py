"""Read the statements from `sql/queries/<noun>/<method>.sql`."""

from functools import cache

from dispatcher.store import sql_files


def statement(name: str) -> str:
    """Return the text of one statement by its `noun/method`."""
    return _read(name)


@cache
def _read(name: str) -> str:
    return sql_files.root().joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")


def read_all() -> None:
    """Read all statements. The daemon calls this before it begins.

    Otherwise a statement could not be read later: without free file descriptors, or while the
    package is being replaced in place.
    """
    nouns = [noun for noun in sql_files.root().joinpath("queries").iterdir() if noun.is_dir()]
    names = [f"{noun.name}/{file.name}" for noun in nouns for file in noun.iterdir()]
    for name in names:
        _read(name.removesuffix(".sql"))
