"""Set up TLS with the database as the ssl… parameters require."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from dispatcher.core.dsn_parameters import ssl_mode
from dispatcher.store.connection.address import Address, Host, home

DIRECTORY = ".postgresql"
UNREADABLE = (FileNotFoundError, NotADirectoryError, PermissionError)
"""Errors that mean "no such file" for a default file in the home directory, as in libpq."""


class TlsError(Exception):
    """TLS cannot be set up from the given files. The message says which file, and what to do."""


class _Context(ssl.SSLContext):
    """A TLS context that verifies the host's name although its address is dialed."""

    host_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(
            incoming, outgoing, server_side, self.host_name or server_hostname, session
        )


def contexts(
    address: Address, host: Host, environ: Mapping[str, str] = os.environ
) -> list[ssl.SSLContext | None]:
    """Return the ways to try a host, in order. None is a connection without TLS.

    Raise TlsError if a file cannot be used.
    """
    mode = ssl_mode(address.parameters)
    if host.is_socket or mode == "disable":
        return [None]
    context = _context(address.parameters, mode, environ)
    context.host_name = host.name
    if mode == "allow":
        return [None, context]
    return [context, None] if mode == "prefer" else [context]


def _context(parameters: Mapping[str, str], mode: str, environ: Mapping[str, str]) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # before verify_mode: Python refuses CERT_NONE while it is on
    context.verify_mode = ssl.CERT_NONE
    if mode in ("require", "verify-ca", "verify-full"):
        _trust(context, parameters, mode, environ)
    context.check_hostname = mode == "verify-full"
    if parameters.get("sslcertmode") != "disable":
        _identify(context, parameters, environ)
    context.minimum_version = _version(parameters.get("ssl_min_protocol_version", "TLSv1.2"))
    if newest := parameters.get("ssl_max_protocol_version"):
        context.maximum_version = _version(newest)
    context.set_alpn_protocols(["postgresql"])
    return context


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def _trust(
    context: _Context, parameters: Mapping[str, str], mode: str, environ: Mapping[str, str]
) -> None:
    """Load the certificates of authorities. `require` verifies only if there are any.

    Raise TlsError if there are none and the mode needs one.
    """
    named = parameters.get("sslrootcert")
    if named == "system":
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_default_certs()
    elif _load_authorities(context, named, home(environ, f"{DIRECTORY}/root.crt")):
        context.verify_mode = ssl.CERT_REQUIRED
    elif mode != "require":
        raise TlsError(
            f"sslmode={mode} needs the certificate of the authority that signed the server's:"
            " sslrootcert= names its file, sslrootcert=system trusts public authorities"
            " (~/.postgresql/root.crt, the default, is not there or may not be read)"
        )
    if context.verify_mode is ssl.CERT_REQUIRED:
        _load_revocations(context, parameters, home(environ, f"{DIRECTORY}/root.crl"))


def _load_authorities(context: _Context, named: str | None, default: Path | None) -> bool:
    try:
        if named:
            context.load_verify_locations(cafile=named)
        elif default:
            context.load_verify_locations(cafile=default)
    except UNREADABLE as error:
        if named:
            raise TlsError(_unusable("sslrootcert", named, error)) from None
        return False
    except OSError as error:  # an SSLError: the file is not PEM
        raise TlsError(_unusable("sslrootcert", str(named or default), error)) from None
    return bool(named or default)


def _load_revocations(
    context: _Context, parameters: Mapping[str, str], default: Path | None
) -> None:
    file, directory = parameters.get("sslcrl"), parameters.get("sslcrldir")
    try:
        if file or directory:
            context.load_verify_locations(cafile=file, capath=directory)
        elif default:
            context.load_verify_locations(cafile=default)
        else:
            return
    except UNREADABLE as error:
        if file or directory:
            raise TlsError(_unusable("sslcrl", str(file or directory), error)) from None
        return
    except OSError as error:
        raise TlsError(_unusable("sslcrl", str(file or directory or default), error)) from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _identify(context: _Context, parameters: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Load the client's own certificate, if there is one. Raise TlsError if it is unusable."""
    named, key = parameters.get("sslcert"), parameters.get("sslkey")
    certificate = named or home(environ, f"{DIRECTORY}/postgresql.crt")
    if certificate is None:
        return
    try:
        # Open the file first. Otherwise an unreadable key looks like an unreadable certificate.
        with open(certificate, "rb"):
            pass
    except OSError as error:
        if named:
            raise TlsError(_unusable("sslcert", named, error)) from None
        return
    if not key:
        own = home(environ, f"{DIRECTORY}/postgresql.key")
        if own is None:
            raise TlsError("there is a sslcert, but no sslkey, and no home directory with a key")
        key = str(own)
    try:
        context.load_cert_chain(certificate, key, lambda: parameters.get("sslpassword", ""))
    except OSError as error:
        raise TlsError(
            f"{_unusable('sslkey', key, error)} (with the certificate {certificate}; sslpassword is"
            " the password of the key)"
        ) from None


def _unusable(parameter: str, path: str, error: OSError) -> str:
    reason = "is not a usable PEM file" if isinstance(error, ssl.SSLError) else error.strerror
    return f"{parameter}: {path}: {reason or error}"
