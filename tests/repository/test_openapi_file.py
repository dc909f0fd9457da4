"""The file with the OpenAPI document is the one that this version serves."""

from tests.api.openapi_file import FILE, text


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text() == text(), "the API has changed: run `make openapi`"
