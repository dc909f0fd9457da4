"""Parse the address of the database as libpq does: a URI or `key=value` words.

This module only decides: it looks up and opens nothing. No message repeats a value of the address,
because an unquoted password may be part of it.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote

URI_PREFIXES = ("postgresql://", "postgres://")

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "PGHOST": "host",
        "PGHOSTADDR": "hostaddr",
        "PGPORT": "port",
        "PGDATABASE": "dbname",
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGPASSFILE": "passfile",
        "PGREQUIREAUTH": "require_auth",
        "PGCHANNELBINDING": "channel_binding",
        "PGSERVICE": "service",
        "PGOPTIONS": "options",
        "PGSSLMODE": "sslmode",
        "PGREQUIRESSL": "requiressl",
        "PGSSLCOMPRESSION": "sslcompression",
        "PGSSLNEGOTIATION": "sslnegotiation",
        "PGSSLCERT": "sslcert",
        "PGSSLKEY": "sslkey",
        "PGSSLCERTMODE": "sslcertmode",
        "PGSSLROOTCERT": "sslrootcert",
        "PGSSLCRL": "sslcrl",
        "PGSSLCRLDIR": "sslcrldir",
        "PGSSLSNI": "sslsni",
        "PGREQUIREPEER": "requirepeer",
        "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
        "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
        "PGMINPROTOCOLVERSION": "min_protocol_version",
        "PGMAXPROTOCOLVERSION": "max_protocol_version",
        "PGGSSENCMODE": "gssencmode",
        "PGKRBSRVNAME": "krbsrvname",
        "PGGSSLIB": "gsslib",
        "PGGSSDELEGATION": "gssdelegation",
        "PGCONNECT_TIMEOUT": "connect_timeout",
        "PGTARGETSESSIONATTRS": "target_session_attrs",
        "PGLOADBALANCEHOSTS": "load_balance_hosts",
    }
)
"""The environment variables of libpq and their parameters. PGAPPNAME and PGCLIENTENCODING have no
effect: the daemon names its sessions itself, and always uses UTF-8.
"""

STRAY_AT = (
    "an @ stands after the host: in a user or password write %40 for @, %2F for /, %3A for :,"
    " %3F for ? and %25 for %"
)
BAD_PERCENT = (
    "a % is not followed by two hexadecimal digits: write %25 for a % of the user, the password"
    " or a value"
)
NO_FORM = "must begin with postgresql:// or postgres://, or have the form host=… dbname=…"

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WORD = re.compile(
    r"""
    (?P<name>[^\s=]+) \s* (?P<equals>=)? \s*
    (?: '(?P<quoted>(?:\\.|[^'\\])*)(?P<end>')? | (?P<bare>(?:\\.|[^\s\\])*) ) \s*
    """,
    re.VERBOSE | re.DOTALL,
)


class DsnError(ValueError):
    """The address cannot be used. `problems` has one sentence for each problem."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def parse(text: str) -> dict[str, str]:
    """Return the parameters of an address by their libpq names, without empty ones.

    Several hosts or ports are one text with commas, as in libpq. Raise DsnError.
    """
    for prefix in URI_PREFIXES:
        if text.startswith(prefix):
            parameters = _parse_uri(text.removeprefix(prefix))
            break
    else:
        if "://" in text.partition("=")[0] or "=" not in text:
            raise DsnError(NO_FORM)
        parameters = _parse_words(text)
    if "\0" in "".join(parameters.values()):
        raise DsnError("holds a NUL character")
    return {name: value for name, value in parameters.items() if value}


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that libpq's environment variables set, without empty ones."""
    return {
        parameter: environ[variable]
        for variable, parameter in ENVIRONMENT.items()
        if environ.get(variable)
    }


def name_sources(variables: Mapping[str, str], *stronger: Mapping[str, str]) -> dict[str, str]:
    """Return, for each parameter that only a variable sets, a text that names the variable.

    `variables` are the parameters of `from_environment`, `stronger` those of other sources, which
    come first. Messages use the text to say where a wrong value comes from.
    """
    return {
        parameter: f"the environment variable {variable}"
        for variable, parameter in ENVIRONMENT.items()
        if parameter in variables and not any(parameter in others for others in stronger)
    }


def _parse_uri(rest: str) -> dict[str, str]:
    rest, _, query = rest.partition("?") if "@" not in rest else _split_query(rest)
    before_path = rest.partition("/")[0]
    user, password = "", ""
    if "@" in before_path:
        credentials, _, rest = rest.partition("@")
        user, _, password = credentials.partition(":")
    if "@" in rest:
        raise DsnError(STRAY_AT)
    hosts, _, database = rest.partition("/")
    host, port = _parse_hosts(hosts)
    parameters = {
        "user": _decode(user),
        "password": _decode(password),
        "host": _decode(host),
        "port": _decode(port),
        "dbname": _decode(database),
    }
    return {
        **{name: value for name, value in parameters.items() if value},
        **_parse_query(query),
    }


def _split_query(rest: str) -> tuple[str, str, str]:
    """Split at the ? that begins the query: the first one after the user and the password."""
    credentials, at, behind = rest.partition("@")
    if "/" in credentials:  # libpq searches for an @ only before the first /
        return rest.partition("?")
    target, mark, query = behind.partition("?")
    return f"{credentials}{at}{target}", mark, query


def _parse_hosts(text: str) -> tuple[str, str]:
    """Return the hosts and the ports of `a:1,[::1]:2`; the ports are empty if there are none."""
    hosts, ports = [], []
    for part in text.split(","):
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^\[\]:]*))(?::(\d*))?", part)
        if match is None:
            raise DsnError(
                "a host is not written as name, name:port or [IPv6 address]:port; in a user or"
                " password write %40 for @, %2F for /, %3A for : and %5B for ["
            )
        hosts.append(match[1] or match[2] or "")
        ports.append(match[3] or "")
    return ",".join(hosts), ",".join(ports) if any(ports) else ""


def _parse_query(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if "@" in name:
            raise DsnError(STRAY_AT)
        if not equals:
            raise DsnError("a parameter after the ? is not written as name=value, with %26 for &")
        parameters[_decode(name)] = _decode(value)
    return _translate(parameters)


def _translate(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters with other drivers' names for them replaced by libpq's names."""
    if parameters.get("ssl") == "true":
        del parameters["ssl"]
        parameters.setdefault("sslmode", "require")
    if "database" in parameters:
        parameters.setdefault("dbname", parameters.pop("database"))
    return parameters


def _decode(text: str) -> str:
    if _BAD_PERCENT.search(text):
        raise DsnError(BAD_PERCENT)
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise DsnError("a character written as %XX is not UTF-8") from None


def _parse_words(text: str) -> dict[str, str]:
    """Return the parameters of `host=a password='it\\'s'`; \\ escapes a quote or a backslash."""
    parameters: dict[str, str] = {}
    position = len(text) - len(text.lstrip())
    while position < len(text):
        match = _WORD.match(text, position)
        if (
            match is None
            or not match["equals"]
            or (match["quoted"] is not None and not match["end"])
        ):
            raise DsnError(
                "is not a list of name=value: put a value with spaces into single quotes, and write"
                " \\' for a quote and \\\\ for a backslash in it"
            )
        value = match["quoted"] if match["quoted"] is not None else match["bare"]
        parameters[match["name"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        position = match.end()
    return _translate(parameters)
