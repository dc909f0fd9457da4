"""What a role lacks for migrating is named with its remedy, all at once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dispatcher.store.queries.server import Facts

FACTS = Facts(
    version="17.5",
    encoding="UTF8",
    role="shop",
    database="app",
    clock=datetime(2030, 1, 1, tzinfo=UTC),
    may_create_schema=False,
    may_create_role=False,
    has_producer_role=False,
    schema_owner=None,
    owns_schema=None,
)
SCHEMA = "GRANT CREATE ON DATABASE app TO shop"
ROLE = "CREATE ROLE dispatcher_producer NOLOGIN ADMIN shop"


@pytest.mark.parametrize(
    ("facts", "remedies"),
    [
        (FACTS, [SCHEMA, ROLE]),
        (replace(FACTS, has_producer_role=True), [SCHEMA]),
        (replace(FACTS, may_create_role=True), [SCHEMA]),
        (replace(FACTS, may_create_schema=True), [ROLE]),
        (replace(FACTS, schema_owner="shop", owns_schema=True), [ROLE]),
        (replace(FACTS, may_create_schema=True, may_create_role=True), []),
    ],
)
def test_each_missing_right_has_a_remedy(facts: Facts, remedies: list[str]) -> None:
    missing = facts.missing_rights()
    assert len(missing) == len(remedies)
    for sentence, remedy in zip(missing, remedies, strict=True):
        assert sentence.endswith(remedy)
