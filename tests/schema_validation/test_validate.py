"""Comparing data with schemas: what passes, what does not, and what is said of it."""

import json
from typing import Any

import pytest

from dispatcher.schema_validation import validate
from dispatcher.schema_validation.validate import Rejection

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def refused(schema: Any, data: str | None) -> Rejection:
    rejection = validate.validate(json.dumps(schema), data)
    assert rejection is not None
    return rejection


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({}, "1"),
        (True, "null"),
        ({"type": "object", "required": ["id"]}, '{"id":"usr_1"}'),
        ({"type": "integer", "const": 2**53 + 1}, "9007199254740993"),
        ({"type": "integer"}, "1.0"),
        ({"multipleOf": 0.01}, "19.99"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, '"x"'),
        ({"$ref": "#"}, "1"),
        ({"$schema": DRAFT_7, "items": [{"type": "string"}]}, '["x",1]'),
        ({"type": "array"}, "[" * 1000 + "]" * 1000),
        ({"type": "string"}, r'"\u0000"'),
    ],
)
def test_data_that_satisfies_its_schema_passes(schema: Any, data: str) -> None:
    assert validate.validate(json.dumps(schema), data) is None


@pytest.mark.parametrize(
    ("schema", "data", "detail"),
    [
        ({"required": ["id"]}, "{}", 'data: "id" is a required property'),
        ({"properties": {"a": {"items": {"type": "string"}}}}, '{"a":["x",7]}', "data.a.1: "),
        ({"const": 2**53}, "9007199254740993", "data: 9007199254740992 was expected"),
        ({"maximum": 2**53}, "9007199254740993", "greater than the maximum"),
        (False, "1", "data: False schema"),
        ({"$schema": DRAFT_7, "items": [{"type": "string"}]}, "[1]", "data.0: "),
    ],
)
def test_data_that_violates_its_schema_is_rejected_with_place_and_reason(
    schema: Any, data: str, detail: str
) -> None:
    rejection = refused(schema, data)
    assert rejection.reason == "schema"
    assert detail in rejection.detail


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "integer"}}},
        {"properties": {"a": {"maxLength": 3}}},
        {"properties": {"a": {"enum": ["b", "c"]}}},
        {"properties": {"a": {"pattern": "^b"}}},
        {"properties": {"a": {"not": {"type": "string"}}}},
        {"properties": {"a": {"oneOf": [{"type": "string"}, {"minLength": 1}]}}},
        {"properties": {"a": False}},
    ],
)
def test_a_rejection_does_not_repeat_the_rejected_value(schema: Any) -> None:
    assert "hunter2" not in refused(schema, '{"a":"hunter2"}').detail


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ("1e400", "infinity"),
        (r'"\ud800"', "surrogate"),
        (r'{"\udc00":1}', "surrogate"),
        ("[" * 2000 + "]" * 2000, "depth"),
        ("1" * 400, "infinity"),
    ],
)
def test_data_that_is_not_json_is_unreadable(data: str, detail: str) -> None:
    rejection = refused(True, data)
    assert rejection.reason == "unreadable"
    assert detail in rejection.detail


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        ({"type": "objekt"}, "schema.type: "),
        ({"properties": {"a": {"minLength": -1}}}, "schema.properties.a.minLength: "),
        ([1], "schema: "),
        ({"pattern": "("}, "schema.pattern: "),
        ({"pattern": "(?=a)"}, "schema.pattern: "),
        ({"pattern": "((a{1,1000}){1,1000}){1,1000}"}, "schema.pattern: "),
        ({"$ref": "#/$defs/b"}, "does not exist"),
        ({"$ref": "other.json"}, "other.json"),
        ({"$ref": "https://schemas.example/a.json"}, "only references within the schema itself"),
        ({"$ref": "file:///etc/passwd"}, "only references within the schema itself"),
        ({"$schema": "https://schemas.example/mine"}, "Unknown meta-schema"),
        ({"$schema": 3}, "schema.$schema: "),
    ],
)
def test_an_invalid_schema_is_unusable(schema: Any, detail: str) -> None:
    for data in (None, "1"):
        rejection = refused(schema, data)
        assert rejection.reason == "schema_unusable"
        assert detail in rejection.detail


def test_a_pattern_takes_time_in_proportion_to_the_text_alone() -> None:
    assert refused({"pattern": "^(a+)+$"}, f'"{"a" * 200_000}!"').reason == "schema"


def test_the_detail_is_one_short_line_for_any_keys() -> None:
    key = "\x00\n\u202e" + "k" * 10_000
    detail = refused({"additionalProperties": {"type": "string"}}, json.dumps({key: 1})).detail
    assert detail.isprintable()
    assert len(detail) <= validate.DETAIL_LIMIT_CHARACTERS


@pytest.mark.parametrize(
    ("value", "levels"),
    [(1, 0), ([], 1), ({}, 1), ([1, [2]], 2), ({"a": {"b": [1]}, "c": []}, 3)],
)
def test_depth_counts_the_levels_of_nested_objects_and_arrays(value: object, levels: int) -> None:
    assert validate.depth(value) == levels
