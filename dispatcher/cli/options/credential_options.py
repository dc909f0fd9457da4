"""The options of a webhook's credentials: they name files, so that no secret is an argument."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from dispatcher.cli.json_input import read_object

FILE_LIMIT_CHARACTERS = 65_536
"""Most characters of a file: the API accepts no more."""


class SecretFile(click.ParamType[str]):
    """The text of a file, or of standard input for `-`."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            text = _read(value)
        except OSError as error:
            self.fail(f"{value}: {error.strerror}", param, ctx)
        except UnicodeError:
            self.fail(f"{value} is not UTF-8 text", param, ctx)
        if len(text) > FILE_LIMIT_CHARACTERS:
            self.fail(f"{value} has more than {FILE_LIMIT_CHARACTERS} characters", param, ctx)
        return text


def _read(name: str) -> str:
    """Return the text of a file or of standard input, and no more than is needed to refuse it."""
    if name == "-":
        return sys.stdin.read(FILE_LIMIT_CHARACTERS + 1)
    with Path(name).open(encoding="utf-8") as file:
        return file.read(FILE_LIMIT_CHARACTERS + 1)


_FILE = SecretFile()
_OPTIONS = (
    click.option("--tls-cert", type=_FILE, metavar="FILE", help="The client certificate, PEM."),
    click.option("--tls-key", type=_FILE, metavar="FILE", help="The key of --tls-cert, PEM."),
    click.option(
        "--tls-ca",
        type=_FILE,
        metavar="FILE",
        help="The certificates to trust in place of the system's, PEM.",
    ),
    click.option(
        "--basic-auth-file",
        type=_FILE,
        metavar="FILE|-",
        help="USER:PASSWORD in one line, for HTTP basic authentication.",
    ),
    click.option(
        "--oauth2-file",
        type=_FILE,
        metavar="FILE|-",
        help="A JSON object with token_url, client_id and client_secret of an OAuth 2 client.",
    ),
)
_REMOVALS = (
    click.option("--no-authentication", is_flag=True, help="Remove the authentication."),
    click.option("--no-tls", is_flag=True, help="Remove the certificates."),
)

Command = Callable[..., None]


def credential_options(*, can_remove: bool = False) -> Callable[[Command], Command]:
    """Return a decorator that adds the options. The command gets them as fields: `credentials`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(
            *args: object,
            tls_cert: str | None,
            tls_key: str | None,
            tls_ca: str | None,
            basic_auth_file: str | None,
            oauth2_file: str | None,
            no_authentication: bool = False,
            no_tls: bool = False,
            **more: object,
        ) -> None:
            credentials = {
                **_authentication(basic_auth_file, oauth2_file, is_removed=no_authentication),
                **_tls(tls_cert, tls_key, tls_ca, is_removed=no_tls),
            }
            command(*args, credentials=credentials, **more)

        for option in reversed((*_OPTIONS, *(_REMOVALS if can_remove else ()))):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def check_url(url: str | None) -> None:
    """Raise UsageError for a URL with a password: other users of the machine can read arguments."""
    try:
        has_userinfo = url is not None and "@" in urlsplit(url).netloc
    except ValueError:
        return  # the API says why the URL is malformed
    if has_userinfo:
        raise click.UsageError(
            "The URL must not contain a user name or password. Use --basic-auth-file."
        )


def _authentication(basic: str | None, oauth2: str | None, *, is_removed: bool) -> dict[str, Any]:
    if (basic is not None) + (oauth2 is not None) + is_removed > 1:
        raise click.UsageError(
            "Use only one of --basic-auth-file, --oauth2-file and --no-authentication."
        )
    if basic is not None:
        username, colon, password = basic.rstrip("\r\n").partition(":")
        if not colon or "\n" in basic.rstrip("\r\n"):
            raise click.UsageError("The file of --basic-auth-file must be one line, USER:PASSWORD.")
        return {"authentication": {"type": "basic", "username": username, "password": password}}
    if oauth2 is not None:
        fields = read_object(oauth2, "The file of --oauth2-file")
        return {"authentication": {**fields, "type": "oauth2"}}
    return {"authentication": None} if is_removed else {}


def _tls(
    certificate: str | None, key: str | None, ca: str | None, *, is_removed: bool
) -> dict[str, Any]:
    if (certificate is None) != (key is None):
        raise click.UsageError("Use --tls-cert and --tls-key together.")
    texts = {"certificate": certificate, "key": key, "ca": ca}
    fields = {name: text for name, text in texts.items() if text is not None}
    if fields and is_removed:
        raise click.UsageError("Use --no-tls without --tls-cert, --tls-key and --tls-ca.")
    if fields:
        return {"tls": fields}
    return {"tls": None} if is_removed else {}
