"""The address of the database: its forms, its parameters, and the messages about wrong ones."""

import pytest

from dispatcher.core import dsn
from dispatcher.core.dsn_parameters import RULES, find_problems
from dispatcher.core.dsn_parameters import ssl_mode as mode_of

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("postgresql://", {}),
        ("postgres://h", {"host": "h"}),
        ("postgresql://u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
        (
            "postgresql://u:p@h:5433/d",
            {"user": "u", "password": "p", "host": "h", "port": "5433", "dbname": "d"},
        ),
        (
            "postgresql://u%40corp:a%3Ab%2Fc%25@h",
            {"user": "u@corp", "password": "a:b/c%", "host": "h"},
        ),
        ("postgresql://u:a:b?c#d@h", {"user": "u", "password": "a:b?c#d", "host": "h"}),
        ("postgresql://h1:1,h2:2/d", {"host": "h1,h2", "port": "1,2", "dbname": "d"}),
        ("postgresql://h1,h2:2/", {"host": "h1,h2", "port": ",2"}),
        ("postgresql://[::1]:7,h/d", {"host": "::1,h", "port": "7,", "dbname": "d"}),
        ("postgresql://%2Fvar%2Frun/d", {"host": "/var/run", "dbname": "d"}),
        ("postgresql:///d?host=/run&port=7", {"dbname": "d", "host": "/run", "port": "7"}),
        ("postgresql://h?host=h1,h2", {"host": "h1,h2"}),
        ("postgresql://h/d?user=me@corp", {"host": "h", "dbname": "d", "user": "me@corp"}),
        ("postgresql://h?options=-c%20a%3D1", {"host": "h", "options": "-c a=1"}),
        ("postgresql://h?options=-ca=1", {"host": "h", "options": "-ca=1"}),
        ("postgresql://h?ssl=true", {"host": "h", "sslmode": "require"}),
        ("postgresql://h?database=d", {"host": "h", "dbname": "d"}),
        ("host=h port=5 dbname=d", {"host": "h", "port": "5", "dbname": "d"}),
        (
            r"  user = u  password='a \' \\ b' host=''",
            {"user": "u", "password": r"a ' \ b"},
        ),
        (r"password=a\ b user=u", {"password": "a b", "user": "u"}),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(text: str, parameters: dict[str, str]) -> None:
    assert dsn.parse(text) == parameters


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mysql://h", dsn.NO_FORM),
        ("postgresql:h", dsn.NO_FORM),
        (f"postgresql://u:{SECRET}@x@h/d", dsn.STRAY_AT),
        (f"postgresql://u:{SECRET}/x@h/d", dsn.STRAY_AT),
        (f"postgresql://u:x@a/{SECRET}@h/d", dsn.STRAY_AT),
        (f"postgresql://u:x/{SECRET}?y@h/d", "a host is not written as"),
        (f"postgresql://u:50%{SECRET}@h", dsn.BAD_PERCENT),
        (f"postgresql://u:{SECRET}%00@h", "NUL"),
        (f"postgresql://u:{SECRET}%ff@h", "is not UTF-8"),
        (f"postgresql://u:{SECRET}:x", "a host is not written as"),
        (f"postgresql://h?{SECRET}", "is not written as name=value"),
        (f"password=my {SECRET} host=h", "is not a list of name=value"),
        (f"password='{SECRET} host=h", "is not a list of name=value"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_repeating_it(
    text: str, sentence: str
) -> None:
    with pytest.raises(dsn.DsnError) as refused:
        dsn.parse(text)
    assert sentence in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"connect_timeout": "10"},
        {"keepalives": "1", "keepalives_idle": "30", "tcp_user_timeout": "0"},
        {"gssencmode": "disable"},
        {"channel_binding": "prefer"},
        {"channel_binding": "require", "sslmode": "verify-full"},
        {"channel_binding": "require", "sslrootcert": "system"},
        {"application_name": "x", "fallback_application_name": "y"},
        {"load_balance_hosts": "random"},
        {"target_session_attrs": "read-write"},
        {"client_encoding": "UTF8"},
        {"host": "a,b", "port": "1,2"},
        {"host": "a,b", "port": "1"},
        {"host": "fe80::1%eth0,/var/run,10.0.0.1"},
        {"replication": "false"},
    ],
)
def test_parameters_that_are_honoured_or_ask_for_nothing_are_taken(
    parameters: dict[str, str],
) -> None:
    assert find_problems(parameters) == []


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"channel_binding": "require"}, "channel_binding=require is supported only with"),
        ({"require_auth": "scram-sha-256"}, "the parameter require_auth is not supported"),
        ({"gssencmode": "require"}, "the parameter gssencmode is not supported"),
        ({"replication": "database"}, "the parameter replication is not supported"),
        ({"target_session_attrs": "standby"}, "must be read-write or primary"),
        ({"sslmode": "verify"}, "the parameter sslmode must be one of disable"),
        ({"sslrootcert": "system", "sslmode": "require"}, "is too weak for sslrootcert=system"),
        ({"sslnegotiation": "direct"}, "wants sslmode=require"),
        ({"ssl_min_protocol_version": "SSLv3"}, "must be one of TLSv1"),
        ({"connect_timeout": "soon"}, "must be a whole number"),
        ({"port": "70000"}, "must be a number from 1 to 65535"),
        ({"host": "a,b,c", "port": "1,2"}, "the parameter port names 2 ports for 3 hosts"),
        ({"host": "a,b", "hostaddr": "10.0.0.1"}, "different numbers of hosts"),
        ({"host": ",".join("abcdefghijklmnopq")}, "at most 16 hosts"),
        ({"host": "p@ss"}, "is not the name of a host"),
        ({"sslmod": "require"}, "did you mean sslmode?"),
        ({"ssl": "false"}, "did you mean sslmode?"),
        ({"pgbouncer": "true"}, "the parameter pgbouncer is not one"),
        ({"search_path": "x"}, "options=-c%20search_path="),
    ],
)
def test_a_parameter_that_cannot_be_honoured_is_named(
    parameters: dict[str, str], sentence: str
) -> None:
    [problem] = find_problems(parameters)
    assert sentence in problem


def test_all_problems_are_reported_at_once() -> None:
    wrong = {"sslmode": "x", "port": "x", "require_auth": "none", "channel_binding": "require"}
    assert len(find_problems(wrong)) == 4


def test_a_problem_of_a_variable_names_the_variable() -> None:
    variables = dsn.from_environment({"PGSSLMODE": "x", "PGHOST": "h", "PGUSER": "", "HOME": "/"})
    assert variables == {"sslmode": "x", "host": "h"}
    problems = find_problems(variables, dsn.name_sources(variables))
    assert problems[0].startswith("the environment variable PGSSLMODE must be one of")
    assert dsn.name_sources(variables, {"sslmode": "require"}) == {
        "host": "the environment variable PGHOST"
    }


def test_every_variable_gives_a_known_parameter() -> None:
    assert set(dsn.ENVIRONMENT.values()) <= set(RULES)


def test_a_variable_that_asks_for_tls_in_the_old_way_is_not_passed_over() -> None:
    """Otherwise the connection would have no TLS, where psql's has it."""
    variables = dsn.from_environment({"PGREQUIRESSL": "1"})
    assert "sslmode=require" in find_problems(variables)[0]


def test_the_mode_of_tls_is_libpqs() -> None:
    assert mode_of({}) == "prefer"
    assert mode_of({"sslrootcert": "system"}) == "verify-full"
    assert mode_of({"sslmode": "allow"}) == "allow"
