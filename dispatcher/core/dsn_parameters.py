"""The rules for libpq's connection parameters: supported, ignored, or rejected with a message.

The driver knows only some of them and takes all others for server settings. So this module checks
each one before the driver sees it.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

Rule = Callable[[str], str | None]
"""A function from a parameter's value to the problem with it, or None if there is none."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
HOST_LIMIT = 16
"""Most hosts in one address: each silent one costs seconds of waiting."""
INTEGER_LIMIT = 2**31 - 1


def find_problems(
    parameters: Mapping[str, str],
    sources: Mapping[str, str] | None = None,
    *,
    complete: bool = True,
) -> list[str]:
    """Return one sentence for each problem of the parameters, alone and in combination.

    `sources` names where a parameter comes from, if not from the address itself. If `complete` is
    False, more parameters may follow, and only each one alone is checked.
    """
    messages = []
    for name, value in parameters.items():
        source = (sources or {}).get(name) or f"the parameter {name}"
        rule = RULES.get(name)
        problem = rule(value) if rule else None
        if rule is None:
            messages.append(_describe_unknown(name))
        elif problem is not None:
            messages.append(f"{source} {problem}")
    return messages + (_check_combinations(parameters) if complete else [])


def _anything(_: str) -> None:
    return None


def _one_of(*values: str) -> Rule:
    def rule(value: str) -> str | None:
        return None if value in values else f"must be one of {', '.join(values)}"

    return rule


def _number(minimum: int, maximum: int = INTEGER_LIMIT) -> Rule:
    def rule(value: str) -> str | None:
        is_valid = re.fullmatch(r"\s*-?\d{1,10}\s*", value) and minimum <= int(value) <= maximum
        return None if is_valid else f"must be a whole number from {minimum} to {maximum}"

    return rule


def _only(values: tuple[str, ...], message: str) -> Rule:
    """Return a rule for an unsupported parameter; `values` are those that request nothing."""

    def rule(value: str) -> str | None:
        return None if value.strip().lower() in values else message

    return rule


def _ports(value: str) -> str | None:
    for part in value.split(","):
        if part and not (re.fullmatch(r"\d{1,5}", part) and 0 < int(part) < 65_536):
            return (
                "must be a number from 1 to 65535; in a user or password write %40 for @, %2F for /"
                " and %3A for :"
            )
    return None


def _hosts(value: str) -> str | None:
    if value.count(",") >= HOST_LIMIT:
        return f"must name at most {HOST_LIMIT} hosts"
    if any(part.startswith("@") for part in value.split(",")):
        return "names an abstract socket, which is not supported: give the directory of the socket"
    if any(re.search(r"[@:\s]", part) for part in value.split(",") if not _is_address(part)):
        return (
            "is not the name of a host; in a user or password write %40 for @, %2F for /, %3A for :"
        )
    return None


def _is_address(part: str) -> bool:
    """Return True if the part is a socket directory or an IPv6 address."""
    return part.startswith("/") or re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?", part) is not None


_NO_SUPPORT = "is not supported: remove it"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Where the server is.
        "host": _hosts,
        "hostaddr": _hosts,
        "port": _ports,
        "dbname": _anything,
        "service": _anything,
        "target_session_attrs": _only(
            ("any", "read-write", "primary"),
            "must be read-write or primary: Dispatcher writes, and a standby cannot",
        ),
        "load_balance_hosts": _one_of("disable", "random"),
        "replication": _only(
            ("false", "off", "no", "0"),
            "is not supported: Dispatcher opens ordinary sessions; remove it",
        ),
        # Who connects.
        "user": _anything,
        "password": _anything,
        "passfile": _anything,
        "require_auth": _only(
            (),
            "is not supported: remove it, and use sslmode=verify-full, so that no other server is"
            " given the password",
        ),
        "channel_binding": _one_of("disable", "prefer", "require"),
        "requirepeer": _only((), _NO_SUPPORT),
        "krbsrvname": _anything,
        "gsslib": _only(("gssapi",), "must be gssapi"),
        "gssdelegation": _only(("0",), _NO_SUPPORT),
        "gssencmode": _only(
            ("disable", "prefer"), "is not supported: use TLS, sslmode=verify-full"
        ),
        "scram_client_key": _only((), f"{_NO_SUPPORT} and give the password"),
        "scram_server_key": _only((), f"{_NO_SUPPORT} and give the password"),
        "oauth_issuer": _only((), _NO_SUPPORT),
        "oauth_client_id": _only((), _NO_SUPPORT),
        "oauth_client_secret": _only((), _NO_SUPPORT),
        "oauth_scope": _only((), _NO_SUPPORT),
        # How TLS is used.
        "sslmode": _one_of(*SSL_MODES),
        "sslnegotiation": _one_of("postgres", "direct"),
        "sslcert": _anything,
        "sslkey": _anything,
        "sslpassword": _anything,
        "sslcertmode": _only(("disable", "allow"), "must be disable or allow"),
        "sslrootcert": _anything,
        "sslcrl": _anything,
        "sslcrldir": _anything,
        "sslsni": _only(("1",), _NO_SUPPORT),
        "sslcompression": _one_of("0", "1"),
        "ssl_min_protocol_version": _one_of(*TLS_VERSIONS),
        "ssl_max_protocol_version": _one_of(*TLS_VERSIONS),
        "requiressl": _only(("0",), "is obsolete: write sslmode=require"),
        "sslkeylogfile": _only((), _NO_SUPPORT),
        # How the connection is kept.
        "connect_timeout": _number(-1, 600),
        "keepalives": _one_of("0", "1"),
        "keepalives_idle": _number(0, 32_767),
        "keepalives_interval": _number(0, 32_767),
        "keepalives_count": _number(0, 127),
        "tcp_user_timeout": _number(0),
        "options": _anything,
        "min_protocol_version": _one_of("3.0", "latest"),
        "max_protocol_version": _one_of("3.0", "3.2", "latest"),
        # No effect: the daemon names its sessions itself, and always uses UTF-8.
        "application_name": _anything,
        "fallback_application_name": _anything,
        "client_encoding": _anything,
    }
)


def _describe_unknown(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w.]{0,40}", name, re.ASCII):
        return "a parameter has a name that PostgreSQL does not know: remove it"
    # The name closest to ssl is another one. Other drivers write ssl=true, and no other value of
    # ssl is accepted.
    near = ["sslmode"] if name == "ssl" else difflib.get_close_matches(name, RULES, n=1)
    hint = f"did you mean {near[0]}?" if near else "remove it"
    return (
        f"the parameter {name} is not one that PostgreSQL's programs know: {hint}"
        f" (a setting of the server is given as options=-c%20{name}=…)"
    )


def _check_combinations(parameters: Mapping[str, str]) -> list[str]:
    messages = _check_lengths(parameters)
    mode = parameters.get("sslmode")
    if parameters.get("sslrootcert") == "system" and mode not in (None, "verify-full"):
        messages.append(
            f"the parameter sslmode={mode} is too weak for sslrootcert=system, with which anyone"
            " may have a certificate: write sslmode=verify-full"
        )
    if parameters.get("channel_binding") == "require" and ssl_mode(parameters) != "verify-full":
        messages.append(
            "the parameter channel_binding=require is supported only with sslmode=verify-full,"
            " which proves the server as well: add that (with sslrootcert=system for a"
            " certificate of a public authority), or write channel_binding=prefer"
        )
    direct = parameters.get("sslnegotiation") == "direct"
    if direct and ssl_mode(parameters) in ("disable", "allow", "prefer"):
        messages.append("the parameter sslnegotiation=direct wants sslmode=require or stronger")
    return messages


def ssl_mode(parameters: Mapping[str, str]) -> str:
    """Return the sslmode in force, as libpq chooses it."""
    strictest = "verify-full" if parameters.get("sslrootcert") == "system" else "prefer"
    return parameters.get("sslmode", strictest)


def _check_lengths(parameters: Mapping[str, str]) -> list[str]:
    """Return the problems with the lengths of the lists of hosts, addresses and ports."""
    lengths = {
        name: parameters[name].count(",") + 1
        for name in ("host", "hostaddr", "port")
        if name in parameters
    }
    hosts = lengths.get("host") or lengths.get("hostaddr") or 1
    messages = []
    if lengths.get("hostaddr", hosts) != hosts:
        messages.append("the parameters host and hostaddr name different numbers of hosts")
    if lengths.get("port", 1) not in (1, hosts):
        messages.append(f"the parameter port names {lengths['port']} ports for {hosts} hosts")
    return messages
