"""Where a value stands in a body, and how large a body may be."""

import orjson
import pytest

from dispatcher.api.requests import json_body
from dispatcher.api.requests.request_parser import FORM_LIMIT_BYTES
from dispatcher.api.types import HttpError
from dispatcher.schema_validation.validate import NESTING_LIMIT
from tests.api.conftest import JSONAPI, Client

VALUES = [
    "1",
    "-1.5e+9",
    "1" * 5000,
    "true",
    "null",
    '""',
    r'"\\"',
    r'"a\"}]b\\\\"',
    "[]",
    "{}",
    '[1, {"data": [2]}, "]"]',
    r'{"}": "{[", "b\"": [[], {}]}',
    '"' + "x" * 100_000 + '"',
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize(
    "around", [("", ""), ('"other": [0, "]"], ', ""), ("", ', "other": {"data": 0}'), (" \n", "\t")]
)
def test_a_value_is_found_as_it_was_written(value: str, around: tuple[str, str]) -> None:
    before, after = around
    text = f' {{{before}"d\\u0061ta" : {value}{after}}} '
    json_body.check(text.encode())
    start, end = json_body.span_of(text, ["data"]) or (0, 0)
    assert text[start:end] == value
    deeper = f'{{"attributes": {text}}}'
    start, end = json_body.span_of(deeper, ["attributes", "data"]) or (0, 0)
    assert deeper[start:end] == value


@pytest.mark.parametrize("text", ["[]", "1", "{}", '{"a": {"data": 1}}', '"data"'])
def test_a_value_that_is_not_there_is_not_found(text: str) -> None:
    assert json_body.span_of(text, ["data"]) is None


@pytest.mark.parametrize("inside", ["", "[" * 80, r"\"" + "[" * 80, "\\\\" + "{" * 80])
def test_only_brackets_outside_of_strings_count_as_levels(inside: str) -> None:
    json_body.check(f'["{inside}", "{inside}"]'.encode())
    for levels in (NESTING_LIMIT - 1, NESTING_LIMIT):
        deep = f'["{inside}", {"[" * levels}{"]" * levels}]'.encode()
        if levels < NESTING_LIMIT:
            json_body.check(deep)
            continue
        with pytest.raises(HttpError):
            json_body.check(deep)


@pytest.mark.parametrize("media_type", ["application/json", JSONAPI])
async def test_a_body_that_is_large_without_an_events_data_is_refused(
    ask: Client, media_type: str
) -> None:
    large = orjson.dumps({"unknown": ["x"] * (FORM_LIMIT_BYTES // 4)})
    for path in ("/api/webhooks", "/api/events"):
        answer = await ask("POST", path, large, Content_Type=media_type)
        assert answer.status == 422
        assert str(FORM_LIMIT_BYTES).encode() in answer.body
