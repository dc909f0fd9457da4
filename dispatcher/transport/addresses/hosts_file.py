"""Read `/etc/hosts`, which `getaddrinfo` ignores for absolute names (with a final dot)."""

import os
from ipaddress import ip_address

FILE_LIMIT_BYTES = 1024 * 1024


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name, in lower case, in the order of the file."""
    addresses_by_name: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ip_address(address)
        except ValueError:
            continue
        for name in names:
            addresses = addresses_by_name.setdefault(name.lower().removesuffix("."), [])
            if address not in addresses:
                addresses.append(address)
    return {name: tuple(addresses) for name, addresses in addresses_by_name.items()}


class HostsFile:
    """The hosts file at `path`, read again after a change; only its first MiB is used."""

    def __init__(self, path: str = "/etc/hosts") -> None:
        self._path = path
        self._read_as: tuple[int, int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a host, an empty tuple if the host or the file is missing."""
        try:
            status = os.stat(self._path)
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._read_as:
                with open(self._path, "rb") as file:
                    text = file.read(FILE_LIMIT_BYTES).decode(errors="replace")
                self._names = parse_hosts(text)
                self._read_as = version
        except OSError:
            return ()
        return self._names.get(host.lower().removesuffix("."), ())
