"""Load the system's trusted certificates into a TLS context, with as little memory as possible.

All of them take 0.8 MiB in each context, and endpoints with a client certificate have a context of
their own. Most systems also have a directory with a file for each certificate. From there, OpenSSL
reads only the certificates that it needs.
"""

import re
import ssl
from functools import cache
from pathlib import Path

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The names by which OpenSSL looks up certificates in a directory."""


def load_when_needed(context: ssl.SSLContext) -> None:
    """Trust the system's certificates, each read when it is needed, if the system permits it."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and paths.capath and _has_all(paths.cafile, paths.capath):
        context.load_verify_locations(capath=paths.capath)
    else:
        context.load_default_certs()


@cache
def _has_all(cafile: str, capath: str) -> bool:
    """Return True if each certificate of the file can be looked up in the directory.

    Otherwise a certificate that somebody has added only to the file would not be trusted.
    """
    try:
        listed = set(_PEM.findall(Path(cafile).read_bytes()))
        hashed = (path for path in Path(capath).iterdir() if _HASHED.fullmatch(path.name))
        pems = {pem for path in hashed for pem in _PEM.findall(path.read_bytes())}
    except OSError:
        return False
    return bool(listed) and listed <= pems
