"""Build the egress rules of a configuration."""

from dispatcher.config.sections import Config
from dispatcher.store.connection.address import AddressError, read
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.addresses.own_ports import own_ports


def guard_from_config(config: Config, dsn: str | None = None) -> Guard:
    """Return the egress rules; `dsn` is the database address if the configuration has none."""
    if dsn is None and config.database.dsn is not None:
        dsn = config.database.dsn.get_secret_value()
    return Guard(
        parse_allow(config.egress.allow),
        https_only=config.egress.https_only,
        own_ports=own_ports(config.admin.port, database_hosts(dsn) if dsn else ()),
    )


def database_hosts(dsn: str) -> list[tuple[str, int]]:
    """Return the servers of a database address, completed by PG… variables and service files.

    Return an empty list if the address cannot be read: connecting reports the error.
    """
    try:
        return [(host.address, host.port) for host in read(dsn).hosts]
    except AddressError:
        return []
