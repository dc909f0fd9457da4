"""`dispatcher verify`: why a signature holds, or why it does not."""

import json
import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dispatcher.cli.params import Duration, Moment, shown

if TYPE_CHECKING:
    from dispatcher.cli.signature_diagnosis import Verdict

SECRET = "DISPATCHER_WEBHOOK_SECRET"  # noqa: S105 - the name of it
SCHEMES = ("standard", "timestamped-hex", "stripe", "body-hex")
STDIN = Path("-")

_file = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.option(
    "--body",
    type=_file,
    default="-",
    metavar="FILE|-",
    help="The request's body, to the last byte; standard input by default.",
)
@click.option(
    "--headers",
    type=_file,
    metavar="FILE|-",
    help="The request's headers, a line each as in 'Name: value', or a JSON object.",
)
@click.option("-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="One more header.")
@click.option(
    "--secret-file",
    type=_file,
    metavar="FILE|-",
    help=f"The signing secret, or several, a line each; without this it is in ${SECRET}.",
)
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    help="Only this one; by default any that signs a time, as receivers have it.",
)
@click.option(
    "--tolerance",
    type=Duration(),
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="How far off the signed time may be.",
)
@click.option("--at", type=Moment(), metavar="TIME", help="As of when to judge; now by default.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
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
    """Say whether receivers accept the signature of a request, and if not, why.

    Exits with 1 if they refuse it. Nothing is sent, and no database or API is asked.
    """
    from dispatcher.cli.signature_diagnosis import Signed, judge

    if [body, headers, secret_file].count(STDIN) > 1:
        raise click.UsageError("only one of --body, --headers, --secret-file can be standard input")
    secrets = _secrets(secret_file, body)
    fields = [*(_headers(_read(headers)) if headers else []), *map(_header, header)]
    verdict = judge(
        Signed(_read(body), fields, secrets),
        scheme=scheme,
        tolerance=tolerance.total_seconds(),
        now=at.timestamp() if at else time.time(),
    )
    if as_json:
        click.echo(json.dumps(_document(verdict)))
    else:
        _tell(verdict)
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


def _tell(verdict: "Verdict") -> None:
    if verdict.scheme:
        click.echo(f"The signature is valid ({verdict.scheme}).")
    else:
        click.echo("The signature is not valid.")
        for check in verdict.checks:
            click.echo(shown(f"  {check.scheme:<15}  {check.reason or 'valid, but signs no time'}"))
    for hint in verdict.hints:
        click.echo(shown(f"hint: {hint}"))


def _secrets(file: Path | None, body: Path) -> tuple[str, ...]:
    """Return them from a file, the environment or the terminal.

    Never from an argument: other users of the machine can read those.
    """
    text = os.environ.get(SECRET, "") if file is None else _text(_read(file), "the secret")
    if not text and file is None and body != STDIN and sys.stdin.isatty():
        text = click.prompt("Signing secret", hide_input=True, err=True)
    secrets = tuple(line for line in text.splitlines() if line.strip())
    if not secrets:
        raise click.UsageError(f"a signing secret is needed, from --secret-file or ${SECRET}")
    return secrets


def _headers(content: bytes) -> list[tuple[str, str]]:
    text = _text(content, "the headers' file")
    if text.lstrip().startswith(("{", "[")):
        return _from_json(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and ":" not in lines[0]:  # the request's own line, as tools save it
        del lines[0]
    return [_header(line) for line in lines]


def _from_json(text: str) -> list[tuple[str, str]]:
    try:
        value = json.loads(text)
        pairs = value.items() if isinstance(value, dict) else value
        return [(str(name), str(content)) for name, content in pairs]
    except (ValueError, TypeError, RecursionError):
        raise click.UsageError("the headers are no JSON object, and no list of pairs") from None


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"{line!r} is not a header, such as 'Name: value'")
    return name.strip(), value.strip()


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeError:
        raise click.UsageError(f"{what} is not UTF-8 text") from None
