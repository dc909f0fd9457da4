"""Every SQL file has one style."""

import re
from pathlib import Path

from dispatcher.store.migration.migration_files import TOKEN, statements

SQL = Path(__file__).parents[2] / "sql"
TEXTS = {
    path.relative_to(SQL).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(SQL.rglob("*.sql"))
}
QUERIES = {name: text for name, text in TEXTS.items() if name.startswith("queries/")}
MIGRATIONS = {name: text for name, text in TEXTS.items() if name.startswith("migrations/")}
KEYWORDS = re.compile(
    r"\b(select|from|where|join|cross|lateral|union|all|with|recursive|insert|into|update|set"
    r"|delete|returning|order\s+by|group\s+by|limit|offset|case|when|then|else|end|and|or|not|exists"
    r"|conflict|distinct|having|materialized|as|on|is|in|any|create|table|index|function|returns"
    r"|language|grant|revoke|execute|begin|declare|raise|perform|filter|over|for|skip|locked)\b"
)
"""Words that are written in capitals. Left out are those that also name a column or a function."""
PRIVATE_WORDS = re.compile(
    r"\b([w]hoever|whatever is|[o]wed?|owes|owing|[h]eeds?|[h]eeded|[a]new|[c]an not|[n]obody|somebody|anybody"
    r"|everybody|[f]or ever|meanwhile|told|thence|unexamined_|nudges?)\b",
    re.IGNORECASE,
)


def without_words(sql: str) -> str:
    """Return the text without comments, quoted texts and quoted names. Function bodies stay."""
    return re.sub(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"", "''", sql)


def test_every_folder_is_read() -> None:
    assert QUERIES
    assert MIGRATIONS
    assert {**QUERIES, **MIGRATIONS} == TEXTS


def test_no_file_has_tabs_or_white_space_at_the_ends_of_lines() -> None:
    for name, text in TEXTS.items():
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        assert "\t" not in text, name
        assert [line for line in text.splitlines() if line != line.rstrip()] == [], name


def test_keywords_are_in_capitals() -> None:
    matches = {name: KEYWORDS.findall(without_words(text)) for name, text in TEXTS.items()}
    assert {name: words for name, words in matches.items() if words} == {}


def test_comments_and_names_use_the_words_of_the_field() -> None:
    matches = {name: PRIVATE_WORDS.findall(text) for name, text in TEXTS.items()}
    assert {name: words for name, words in matches.items() if words} == {}


def test_a_query_is_one_statement_without_a_semicolon() -> None:
    for name, text in QUERIES.items():
        assert len(list(statements(text))) == 1, name
        assert [token for token in TOKEN.finditer(text) if token["end"]] == [], name


def test_a_query_names_its_parameters_at_the_top() -> None:
    for name, text in QUERIES.items():
        used = set(re.findall(r"\$\d+", without_words(text)))
        top = text[: re.search(r"^(?!--)", text, re.MULTILINE).start()]  # type: ignore[union-attr]
        numbers = {
            f"${number}"
            for low, high in re.findall(r"\$(\d+) to \$(\d+)", top)
            for number in range(int(low), int(high) + 1)
        }
        assert used <= numbers | set(re.findall(r"\$\d+", top)), name


def test_the_page_about_the_schema_names_every_table_view_and_sequence() -> None:
    page = (SQL.parent / "docs" / "schema.md").read_text(encoding="utf-8")
    text = "".join(MIGRATIONS.values())
    names = re.findall(r"^CREATE (?:TABLE|VIEW|SEQUENCE) (dispatcher\.\w+)", text, re.MULTILINE)
    assert [n for n in names if not n.endswith("_default") and f"`{n}`" not in page] == []
