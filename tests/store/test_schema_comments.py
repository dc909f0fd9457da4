"""The schema documents itself: psql shows the purpose of each of its parts."""

from tests.conftest import Connection

UNDOCUMENTED = """
    SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.relnamespace = 'dispatcher'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
      AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL
    UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = 'dispatcher'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
    ORDER BY 1"""
DESCRIPTIONS = """
    SELECT obj_description(c.oid, 'pg_class') FROM pg_class c
    WHERE c.relnamespace = 'dispatcher'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    """


async def test_every_table_view_sequence_and_function_has_a_comment(connection: Connection) -> None:
    assert await connection.fetch(UNDOCUMENTED) == []


async def test_the_comment_of_a_table_is_made_of_sentences(connection: Connection) -> None:
    comments = [row[0] for row in await connection.fetch(DESCRIPTIONS)]
    assert comments
    assert [comment for comment in comments if not comment.endswith(".")] == []
