"""The statements, read from `sql/queries/<noun>/<method>.sql`."""

from functools import cache

from dispatcher.store import sql_files


def statement(name: str) -> str:
    """The text of one statement, by its `noun/method`."""
    return _read(name)


@cache
def _read(name: str) -> str:
    return sql_files.root().joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")


def read_all() -> None:
    """For a daemon, before it begins: with no file descriptors left, or the package being replaced
    in place, a statement first needed then could not be read."""
    nouns = [noun for noun in sql_files.root().joinpath("queries").iterdir() if noun.is_dir()]
    names = [f"{noun.name}/{file.name}" for noun in nouns for file in noun.iterdir()]
    for name in names:
        _read(name.removesuffix(".sql"))
