"""Explain why there is no connection, and what to do. Never repeat a password or the DSN."""

import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType

import asyncpg

from dispatcher.store.connection.address import Address, Host

POOLER = (
    "this is a connection pooler in transaction mode, and the daemon needs a session: connect to"
    " PostgreSQL itself, or set pool_mode = session for it (producers may use the pooler)"
)
"""The message for each statement that a pooler breaks.

LISTEN, settings and prepared statements need a session.
"""

BROKEN_BY_POOLERS = (
    asyncpg.InvalidSQLStatementNameError,  # it was prepared on another server connection
    asyncpg.DuplicatePreparedStatementError,  # another client prepared it on this server connection
)

_EXPIRED, _NOT_YET_VALID = 10, 9
_UNTRUSTED = (2, 7, 18, 19, 20, 21)
_WRONG_NAME = (62, 64)
_REVOKED = 23


def explain(error: BaseException, host: Host, address: Address, *, seconds: float) -> str:
    """Return a sentence that explains why a host could not be connected to within `seconds`."""
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate(error, host)
        case ssl.SSLError():
            return (
                f"TLS with {host} failed ({error.reason or error}): is TLS what the server speaks"
                " there, and do the versions of both sides overlap (ssl_min_protocol_version)?"
            )
        case TimeoutError():
            return f"{host} does not answer within {seconds:g} s"
        case socket.gaierror():
            return _unknown_name(error, host)
        case OSError():
            return _unreachable(error, host, address)
        case _:
            return _not_usable(error, host, address)


def _not_usable(error: BaseException, host: Host, address: Address) -> str:
    match error:
        case asyncpg.PostgresError() if error.sqlstate:
            return _refused(error, host, address)
        case asyncpg.InternalClientError():
            return f"{host} ended the connection while it was opened"
        case asyncpg.InterfaceError():
            return f"{host} cannot be used: {error}"
        case _:  # the text of the error may contain parts of the address
            return f"{host} cannot be used: {type(error).__name__}"


def is_final(error: BaseException) -> bool:
    """Return True if every other host would refuse as well: the user or the database is unknown."""
    refused = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
    return isinstance(error, refused)


def _certificate(error: ssl.SSLCertVerificationError, host: Host) -> str:
    problem = f"the TLS certificate of {host} is not accepted: "
    match error.verify_code:
        case code if code == _EXPIRED:
            return problem + "it has expired; renew it on the server"
        case code if code == _NOT_YET_VALID:
            return (
                problem + "it is not valid yet; compare the clocks of this machine and the server"
            )
        case code if code in _WRONG_NAME:
            return (
                f"{problem}it does not name {host.name}; connect by the name in the certificate"
                " (hostaddr= may give the address)"
            )
        case code if code in _UNTRUSTED:
            return (
                f"{problem}no authority that is trusted here signed it ({error.verify_message});"
                " sslrootcert= must name the certificate of the server's authority"
            )
        case code if code == _REVOKED:
            return f"{problem}it is revoked (sslcrl)"
        case _:
            return problem + error.verify_message


def _unknown_name(error: socket.gaierror, host: Host) -> str:
    if error.errno == socket.EAI_AGAIN:
        return (
            f"the name {host.address} cannot be looked up at present: do the name servers answer?"
        )
    return (
        f"the name {host.address} is not known: is it spelt right? (In a user or password of"
        " database.dsn write %40 for @, %2F for / and %3A for :)"
    )


def _unreachable(error: OSError, host: Host, address: Address) -> str:
    if "rejected SSL upgrade" in str(error):
        mode = address.parameters.get("sslmode", "verify-full")
        return (
            f"{host} does not offer TLS, which sslmode={mode} asks for: set ssl = on there, or"
            " choose another sslmode"
        )
    if host.is_socket:
        path = f"{host.address}/.s.PGSQL.{host.port}"
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return (
                f"no PostgreSQL listens on the socket {path}: does it run, and put its socket"
                " there?"
            )
        return f"the socket {path} cannot be used: {error.strerror or error}"
    match error:
        case ConnectionRefusedError():
            return f"nothing listens on {host}: does PostgreSQL run there, and is the port right?"
        case ConnectionResetError() | BrokenPipeError():
            return f"{host} closed the connection: is PostgreSQL what listens there?"
        case _:
            return f"{host} cannot be reached: {error.strerror or error}"


def _refused(error: asyncpg.PostgresError, host: Host, address: Address) -> str:
    message = error.args[0] if error.args else type(error).__name__
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        if isinstance(error, asyncpg.InvalidPasswordError):
            reason = _about_password(host, address)
            return f"{host} refuses the password of the user {address.user}{reason}"
        return f"{host} refuses the user {address.user}: {message}"
    for kind, sentence in _REFUSALS.items():
        if isinstance(error, kind):
            return sentence.format(host=host, user=address.user, message=message)
    return f"{host}: {message}"


_REFUSALS: Mapping[type[asyncpg.PostgresError], str] = MappingProxyType(
    {
        asyncpg.InvalidCatalogNameError: (
            "{host}: {message}: create it with ENCODING 'UTF8' TEMPLATE template0, or correct the"
            " name in database.dsn"
        ),
        asyncpg.TooManyConnectionsError: "{host} has no free connection: {message}",
        asyncpg.CannotConnectNowError: "{host} takes no connections now: {message}",
        asyncpg.ConnectionDoesNotExistError: (
            "{host} closed the connection: is PostgreSQL what listens there?"
        ),
        asyncpg.InsufficientPrivilegeError: (
            "{host} refuses the user {user}: {message} (GRANT CONNECT ON DATABASE would let it in)"
        ),
        asyncpg.ProtocolViolationError: "{host} does not take the connection: {message}",
    }
)


def _about_password(host: Host, address: Address) -> str:
    if address.password(host):
        return ""
    reasons = address.warnings or ("neither database.dsn nor a password file has one for it",)
    return f": {'; '.join(reasons)}"
