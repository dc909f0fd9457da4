"""docs/dashboard.md shows every picture that `make screenshots` takes, and they are there."""

import re

from tests.dashboard.screenshots import DOCS, document

MOST = 200 * 1024


def test_the_document_is_what_the_command_writes() -> None:
    assert (DOCS / "dashboard.md").read_text() == document()


def test_every_picture_is_shown_and_small() -> None:
    taken = {path.name: path.stat().st_size for path in (DOCS / "screenshots").iterdir()}
    assert set(taken) == set(re.findall(r"\(screenshots/(.+?)\)", document()))
    assert {name: size for name, size in taken.items() if size > MOST} == {}
