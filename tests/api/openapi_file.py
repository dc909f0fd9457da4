"""Write the OpenAPI document to its file in the package: `make openapi`."""

import json
from pathlib import Path

from dispatcher.api.all_routes import ROUTES
from dispatcher.api.openapi import document

FILE = Path(document.__file__).parent / "openapi.json"


def text() -> str:
    """The document as it is written, a line for each field, so that a change of it can be read."""
    return json.dumps(document.describe(ROUTES), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
