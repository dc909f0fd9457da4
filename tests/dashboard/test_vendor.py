"""The files of others that pages use are those that were published, and come with their licences."""

from hashlib import sha256
from pathlib import Path

import dispatcher

VENDOR = Path(dispatcher.__file__).parent / "dashboard" / "static" / "vendor"
SUMS = {
    name: digest
    for digest, name in (line.split() for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
}


def test_each_vendored_file_is_as_it_was_published() -> None:
    files = {path.name: path for path in VENDOR.iterdir() if path.name != "SHA256SUMS"}
    assert {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == SUMS


def test_each_vendored_file_has_its_licence_beside_it() -> None:
    names = {name.split("-")[0] for name in SUMS if name.endswith((".js", ".css"))}
    assert {f"{name}.LICENSE" for name in names} <= set(SUMS)
