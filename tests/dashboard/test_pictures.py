"""docs/dashboard.md shows every picture that `make screenshots` takes, and they are there."""

import re

from tests.dashboard.screenshots import DOCS, pictures

SIZE_LIMIT_BYTES = 200 * 1024


def test_the_document_shows_every_picture_that_is_taken() -> None:
    shown = re.findall(r"\(screenshots/(.+?)\)", (DOCS / "dashboard.md").read_text())
    assert sorted(shown) == sorted(pictures())


def test_every_picture_is_there_and_small() -> None:
    taken = {path.name: path.stat().st_size for path in (DOCS / "screenshots").iterdir()}
    assert set(taken) == pictures()
    assert {name: size for name, size in taken.items() if size > SIZE_LIMIT_BYTES} == {}
