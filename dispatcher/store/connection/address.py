"""Read the address of the database: the DSN, completed the way libpq completes it.

libpq takes a missing parameter from a service file, then from the PG… variables, then from the
password file, and last from the operating system. This module does the same. It opens no
connection.
"""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dispatcher.core import dsn as grammar
from dispatcher.core import dsn_parameters
from dispatcher.store.connection import passfile

DEFAULT_PORT = 5432
SOCKET_DIRECTORIES = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - PostgreSQL's own default
SYSTEM_SERVICE_FILES = ("/etc/pg_service.conf", "/etc/postgresql-common/pg_service.conf")


class AddressError(ValueError):
    """The address of the database cannot be used. The message never repeats the address."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(f"database.dsn: {problem}" for problem in problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Host:
    """One server of an address.

    `name` is the name in the certificate and in the password file. `address` is the place to
    connect to: a name to look up, an IP address, or the directory of a socket.
    """

    name: str
    address: str
    port: int

    @property
    def is_socket(self) -> bool:
        """Return True if the address is the directory of a Unix socket."""
        return self.address.startswith("/")

    def __str__(self) -> str:
        if self.is_socket:
            return f"{self.address}/.s.PGSQL.{self.port}"
        return f"{self.name} port {self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Everything that opening a connection needs. `parameters` are libpq's, already checked."""

    hosts: tuple[Host, ...]
    user: str
    database: str
    parameters: Mapping[str, str] = field(repr=False)
    passwords: passfile.Passwords = field(repr=False)

    def password(self, host: Host) -> str:
        """Return the password for a host, or "" if there is none."""
        password = self.parameters.get("password")
        if password is not None:
            return password
        return self.passwords.find(host.name, host.port, self.database, self.user) or ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about an ignored password file, as sentences."""
        return () if "password" in self.parameters else self.passwords.warnings

    def number(self, parameter: str, otherwise: float) -> float:
        """Return a parameter's number, or `otherwise` if the parameter is missing."""
        return float(self.parameters.get(parameter, otherwise))


def read(dsn: str, environ: Mapping[str, str] = os.environ) -> Address:
    """Return the address that libpq would read from `dsn`.

    Raise AddressError with all problems at once.
    """
    parameters = _parameters(dsn, environ)
    user = parameters.get("user") or _system_user()
    name = parameters.get("passfile") or environ.get("PGPASSFILE")
    default = home(environ, ".pgpass")
    return Address(
        hosts=_hosts(parameters),
        user=user,
        database=parameters.get("dbname", user),
        parameters=parameters,
        passwords=passfile.read(Path(name) if name else default),
    )


def home(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the path of a file in the home directory, or None if there is no home directory."""
    directory = environ.get("HOME")
    if not directory:
        try:
            directory = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:  # in a container, a user may have no entry
            return None
    return Path(directory, name)


def _parameters(dsn: str, environ: Mapping[str, str]) -> dict[str, str]:
    variables = grammar.from_environment(environ)
    try:
        from_dsn = grammar.parse(dsn)
    except grammar.DsnError as error:
        raise AddressError(*error.problems) from None
    service = from_dsn.get("service") or variables.get("service")
    served = _service(service, environ) if service else {}
    merged = {**variables, **served, **from_dsn}
    problems = dsn_parameters.find_problems(
        merged, grammar.name_sources(variables, served, from_dsn)
    )
    if problems:
        raise AddressError(*problems)
    return merged


def _system_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise AddressError(
            "names no user, and the operating system has no name for the user with the id"
            f" {os.geteuid()}: write the user into it (postgresql://user@host/database), or set"
            " PGUSER"
        ) from None


def _hosts(parameters: Mapping[str, str]) -> tuple[Host, ...]:
    names = parameters.get("host", "").split(",")
    addresses = parameters.get("hostaddr", "").split(",")
    ports = parameters.get("port", "").split(",")
    count = max(len(names), len(addresses))
    names += [""] * (count - len(names))
    addresses += [""] * (count - len(addresses))
    ports = ports * count if len(ports) == 1 else ports
    return tuple(
        _host(name, address, int(port or DEFAULT_PORT))
        for name, address, port in zip(names, addresses, ports, strict=True)
    )


def _host(name: str, address: str, port: int) -> Host:
    if name or address:
        return Host(name or address, address or name, port)
    for directory in SOCKET_DIRECTORIES:
        if os.path.exists(f"{directory}/.s.PGSQL.{port}"):
            return Host("localhost", directory, port)
    return Host("localhost", "localhost", port)


def _service(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a service from the first file that defines it.

    Raise AddressError if no file defines it.
    """
    for path in _service_files(environ):
        section = _section(path, name)
        if section is not None:
            return section
    raise AddressError(
        f"the service {name} is not defined: write it into ~/.pg_service.conf, or into the file"
        " that PGSERVICEFILE names, and see that this user may read it"
    )


def _service_files(environ: Mapping[str, str]) -> list[Path]:
    if named := environ.get("PGSERVICEFILE"):
        personal: Path | None = Path(named)
    else:
        personal = home(environ, ".pg_service.conf")
    directory = environ.get("PGSYSCONFDIR")
    system = (f"{directory}/pg_service.conf",) if directory else SYSTEM_SERVICE_FILES
    return [*filter(None, [personal]), *map(Path, system)]


def _section(path: Path, name: str) -> dict[str, str] | None:
    """Return the lines `key=value` below `[name]`, or None if section or file is missing."""
    try:
        with path.open(encoding="utf-8") as file:
            lines = file.read(passfile.FILE_LIMIT_BYTES).split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    section: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if line.startswith("["):
            if section is not None:
                break
            section = {} if line == f"[{name}]" else None
        elif section is not None and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key.strip(), value.strip())
    return section
