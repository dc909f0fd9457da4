"""What a DSN leaves out comes from a service, from variables, from the password file."""

from pathlib import Path

import pytest

from dispatcher.store.connection import address, passfile
from dispatcher.store.connection.address import AddressError, Host


def test_the_address_overrides_the_service_file_which_overrides_variables(
    tmp_path: Path,
) -> None:
    services = tmp_path / "services"
    services.write_text("# ours\n[other]\nhost=o\n[mine]\nhost=s\nport=7\nuser = su\n[more]\n")
    environ = {"PGSERVICEFILE": str(services), "PGUSER": "v", "PGDATABASE": "v", "HOME": "/"}
    read = address.read("postgresql://a@/?service=mine", environ)
    assert (read.hosts, read.user, read.database) == ((Host("s", "s", 7),), "a", "v")
    with pytest.raises(AddressError, match="the service missing is not defined"):
        address.read("service=missing", environ)


def test_parameters_of_a_service_are_checked_as_those_of_the_address(tmp_path: Path) -> None:
    services = tmp_path / "services"
    services.write_text("[mine]\nrequire_auth=none\n")
    environ = {"PGSERVICEFILE": str(services), "PGSERVICE": "mine"}
    with pytest.raises(AddressError, match="require_auth"):
        address.read("postgresql://u@h", environ)


def test_each_host_has_a_name_an_address_and_a_port() -> None:
    read = address.read("postgresql://u@a,b:2/d?hostaddr=10.0.0.1,", {})
    assert read.hosts == (Host("a", "10.0.0.1", 5432), Host("b", "b", 2))
    assert read.hosts[0].is_socket is False
    assert "sesame" not in repr(address.read("postgresql://u:sesame@h", {}))


LINES = r"""
# a comment
h:1:d:u:first
h:1:d:u:second
*:5432:*:colon\:user:p\:w\\d
localhost:*:*:u:by socket
/run/other:*:*:u:by directory
h:2:d:u:up to:here
h:4:d:u:one[separator]line
too:few
*:*:*:last:\
"""


@pytest.mark.parametrize(
    ("host", "port", "database", "user", "password"),
    [
        ("h", 1, "d", "u", "first"),
        ("x", 5432, "y", "colon:user", "p:w\\d"),
        ("/run/postgresql", 5432, "d", "u", "by socket"),
        ("/run/other", 5432, "d", "u", "by socket"),
        ("h", 2, "d", "u", "up to"),
        ("h", 3, "d", "u", None),
        ("h", 4, "d", "u", "one\u2028line"),
        ("x", 1, "d", "last", "\\"),
    ],
)
def test_the_first_line_that_fits_has_the_password(
    tmp_path: Path, host: str, port: int, database: str, user: str, password: str | None
) -> None:
    file = tmp_path / "passwords"
    file.write_text(LINES.replace("[separator]", "\u2028"), encoding="utf-8")
    file.chmod(0o600)
    passwords = passfile.read(file)
    assert passwords.find(host, port, database, user) == password
    assert "first" not in repr(passwords)


def test_a_password_file_that_others_may_read_is_left_aside_with_a_warning(
    tmp_path: Path,
) -> None:
    file = tmp_path / "passwords"
    file.write_text("*:*:*:*:p\n")
    file.chmod(0o640)
    read = passfile.read(file)
    assert read.find("h", 1, "d", "u") is None
    assert "chmod 0600" in read.warnings[0]
    assert "not a plain file" in passfile.read(tmp_path).warnings[0]
    file.chmod(0o600)
    file.write_bytes(b"\xff")
    assert "not UTF-8" in passfile.read(file).warnings[0]
    assert passfile.read(tmp_path / "missing") == passfile.Passwords()
