"""`dispatcher verify`: explain why a signature is valid or invalid."""

import json
import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dispatcher.cli.params import Duration, Moment, escape_controls
from dispatcher.receiver import SCHEMES

if TYPE_CHECKING:
    from dispatcher.cli.signature_diagnosis import Verdict

SECRET = "DISPATCHER_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
STDIN = Path("-")

_file = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.option(
    "--body",
    type=_file,
    default="-",
    metavar="FILE|-",
    help="The body of the request, unchanged. Default: standard input.",
)
@click.option(
    "--headers",
    type=_file,
    metavar="FILE|-",
    help="The headers of the request: a line each, such as 'Name: value', or a JSON object.",
)
@click.option(
    "-H",
    "--header",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header. It can be given several times.",
)
@click.option(
    "--secret-file",
    type=_file,
    metavar="FILE|-",
    help=f"The signing secret, or several, a line each. Default: ${SECRET}.",
)
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    help="The only scheme to accept. Default: any scheme that signs a time, as receivers accept.",
)
@click.option(
    "--tolerance",
    type=Duration(),
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="The largest difference between the signed time and now.",
)
@click.option(
    "--at",
    type=Moment(),
    metavar="TIME",
    help="The time at which the request is checked. Default: now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    context: click.Context,
    body: Path,
    headers: Path | None,
    header: tuple[str, ...],
    secret_file: Path | None,
    scheme: str | None,
    tolerance: timedelta,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Check whether receivers accept the signature of a request, and if not, explain why.

    Exit with 1 if they refuse it. This command uses no network, API or database.
    """
    from dispatcher.cli.signature_diagnosis import SignedRequest, diagnose

    if [body, headers, secret_file].count(STDIN) > 1:
        raise click.UsageError(
            "Only one of --body, --headers and --secret-file can be standard input."
        )
    secrets = _secrets(secret_file, body)
    fields = [*(_headers(_read(headers)) if headers else []), *map(_header, header)]
    verdict = diagnose(
        SignedRequest(_read(body), fields, secrets),
        scheme=scheme,
        tolerance=tolerance.total_seconds(),
        now=at.timestamp() if at else time.time(),
    )
    if as_json:
        click.echo(json.dumps(_document(verdict)))
    else:
        _print(verdict)
    context.exit(0 if verdict.scheme else 1)


def _document(verdict: "Verdict") -> dict[str, object]:
    checks = [
        {
            "scheme": check.scheme,
            "ok": check.error is None,
            "error": check.error,
            "reason": check.reason,
        }
        for check in verdict.checks
    ]
    return {
        "ok": verdict.scheme is not None,
        "scheme": verdict.scheme,
        "checks": checks,
        "hints": verdict.hints,
    }


def _print(verdict: "Verdict") -> None:
    if verdict.scheme:
        click.echo(f"The signature is valid ({verdict.scheme}).")
    else:
        click.echo("The signature is not valid.")
        for check in verdict.checks:
            click.echo(
                escape_controls(
                    f"  {check.scheme:<15}  {check.reason or 'valid, but signs no time'}"
                )
            )
    for hint in verdict.hints:
        click.echo(escape_controls(f"hint: {hint}"))


def _secrets(file: Path | None, body: Path) -> tuple[str, ...]:
    """Return the secrets from a file, the environment or the terminal.

    They are never an argument, because other users of the machine can read those.
    """
    text = os.environ.get(SECRET, "") if file is None else _text(_read(file), "The secret")
    if not text and file is None and body != STDIN and sys.stdin.isatty():
        text = click.prompt("Signing secret", hide_input=True, err=True)
    secrets = tuple(line for line in text.splitlines() if line.strip())
    if not secrets:
        raise click.UsageError(f"No signing secret is given. Use --secret-file, or set ${SECRET}.")
    return secrets


def _headers(content: bytes) -> list[tuple[str, str]]:
    text = _text(content, "The file with headers")
    if text.lstrip().startswith(("{", "[")):
        return _from_json(text)
    # Tools that show a request put a mark before each line: curl and httpie "> ".
    lines = [line.removeprefix("> ") for line in text.splitlines() if line.strip(" >")]
    if lines and ":" not in lines[0]:  # the request's own line, as tools save it
        del lines[0]
    return [_header(line) for line in lines]


def _from_json(text: str) -> list[tuple[str, str]]:
    try:
        value = json.loads(text)
        pairs = value.items() if isinstance(value, dict) else value
        return [
            (str(name), str(text))
            for name, content in pairs
            for text in (content if isinstance(content, list) else [content])
        ]
    except (ValueError, TypeError, RecursionError):
        raise click.UsageError(
            "The headers are neither a JSON object nor a list of pairs."
        ) from None


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"{line!r} is not a header. Write it as 'Name: value'.")
    return name.strip(), value.strip()


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeError:
        raise click.UsageError(f"{name} is not UTF-8 text.") from None
