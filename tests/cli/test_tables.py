"""Tables fit the terminal, and colours are only where they are wanted."""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import click
import pytest
from click.testing import CliRunner

from dispatcher.cli import main
from dispatcher.cli.output import tables
from dispatcher.cli.output.delivery_output import DELIVERIES, LiveLine
from dispatcher.cli.output.listing import ENVIRONMENT
from dispatcher.cli.output.tables import Column, columns_of, cut, lines
from dispatcher.client import Resource

LONG = "x" * 300
DELIVERY = Resource(
    {
        "id": "dlv_385109834929799170",
        "status": "FAILED",
        "webhookId": "00000000-0000-4000-8000-000000000001",
        "webhookName": "Initech, the customer with the long name",
        "event": f"user.{LONG}",
        "attempts": 12,
        "responseStatus": None,
        "errorCode": "timeout",
        "error": f"no answer within 15 s {LONG}",
        "createdAt": "2026-11-29T01:16:29.120Z",
        "endedAt": None,
    }
)
LIVE = LiveLine(
    time="2026-11-29T01:16:29.120Z",
    status="FAILED",
    delivery="dlv_385109834929799170",
    event="user.created",
    attempts="attempts 6",
    answer="500",
    webhook="Initech, the customer with the long name",
    error=f"answered 500 {LONG}",
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    return COLOUR.sub("", text)


@pytest.mark.parametrize("limit", [80, 100, 132])
def test_a_line_fits_the_terminal_and_keeps_the_ids(limit: int) -> None:
    drawn = [plain(line) for line in lines(DELIVERIES, [DELIVERY], limit)]
    assert max(map(columns_of, drawn)) <= limit
    assert drawn[0].startswith("CREATED (UTC)")
    assert DELIVERY.id in drawn[1]
    assert "…" in drawn[1]
    live = plain(LIVE.text(limit)).splitlines()
    assert (len(live), max(map(columns_of, live)) <= limit) == (2, True)
    assert live[0].startswith("01:16:29  FAILED ")
    assert live[0].endswith(DELIVERY.id)
    assert "user.created → Initech" in live[0]
    assert " #6  dlv_" in live[0]
    assert live[1].startswith("          answered 500")


@pytest.mark.parametrize("limit", [50, 60, 80, 100])
def test_a_row_that_does_not_fit_takes_several_lines_and_keeps_the_ids(limit: int) -> None:
    webhook_of_one_deleted = str(DELIVERY.webhook_id)
    item = Resource({**DELIVERY, "environmentId": "env_of_a_customer", "webhookName": None})
    other = Resource({**item, "environmentId": "env_b", "webhookName": LONG})
    drawn = [plain(line) for line in lines([*DELIVERIES, ENVIRONMENT], [item, other], limit)]
    assert max(map(columns_of, drawn)) <= limit
    assert len(drawn) % 3 == 0
    assert len(drawn) > 3
    title, first, second = (
        drawn[at : at + len(drawn) // 3] for at in range(0, len(drawn), len(drawn) // 3)
    )
    for part, starts in ((title, "CREATED"), (first, "11-29"), (second, "11-29")):
        assert part[0].startswith(starts)
        assert all(line.startswith("  ") for line in part[1:])
    words = "  ".join(first).split()
    assert {DELIVERY.id, webhook_of_one_deleted, "env_of_a_customer"} <= set(words)
    assert "…" in "".join(second)


def test_a_row_that_fits_has_one_line() -> None:
    item = Resource({**DELIVERY, "environmentId": "env_b", "event": "a.b", "webhookName": "Hooli"})
    drawn = lines([*DELIVERIES, ENVIRONMENT], [item], 100)
    assert len(drawn) == 2


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    (line,) = lines(DELIVERIES, [DELIVERY], None)
    assert DELIVERY.event in line
    assert DELIVERY.error in line
    assert LIVE.text(None).endswith(str(LIVE.error))


def test_a_table_cannot_control_the_terminal() -> None:
    column = Column("A", lambda item: item.text)
    (line,) = lines([column], [Resource({"text": "a\x1b[2J\n\u202eb\tc"})], None)
    assert line == r"a\x1b[2J\n\u202eb c"


@pytest.mark.parametrize(
    ("text", "limit", "seen"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("e\u0301te\u0301", 3, "e\u0301te\u0301"),
    ],
)
def test_what_is_cut_counts_columns_and_not_characters(text: str, limit: int, seen: str) -> None:
    assert cut(text, limit) == seen
    assert columns_of(seen) <= limit


def test_a_count_has_its_noun_in_the_singular_or_plural() -> None:
    counted = [tables.counted(1, "webhook"), tables.counted(2000, "delivery", "deliveries")]
    assert counted == ["1 webhook", "2,000 deliveries"]


@pytest.mark.parametrize(
    ("args", "variables", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {}, False),
    ],
)
def test_output_that_is_no_terminal_is_coloured_if_asked_for(
    args: list[str], variables: dict[str, str], coloured: bool
) -> None:
    command = ["check", *args]
    settings = {"DISPATCHER_CONFIG": os.devnull, "DISPATCHER_ADMIN__PORT": "0"}
    for words in (command, [*args, "check"]):
        ended = CliRunner().invoke(main, words, env={**settings, **variables})
        assert (COLOUR.search(ended.output) is not None) is coloured, ended.output


def on_a_terminal(directory: Path, *args: str, **variables: str) -> str:
    """The output of a command on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "TERM")}
    ended = subprocess.Popen(
        [sys.executable, "-m", "dispatcher", *args],
        cwd=directory,
        env={
            **kept,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DISPATCHER_CONFIG": os.devnull,
            "DISPATCHER_ADMIN__PORT": "0",
            "DISPATCHER_DATABASE__STATE_DIRECTORY": str(directory / "state"),
            "TERM": "xterm",
            **variables,
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the command has closed the terminal
            break
        if not piece:
            break
        pieces.append(piece)
    ended.wait()
    os.close(ours)
    return b"".join(pieces).decode()


@pytest.mark.long
def test_a_terminal_gets_colours_unless_they_are_refused(tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, "check")
    assert "\x1b[32m✓\x1b[0m" in shown
    for words, variables in (
        (["check"], {"NO_COLOR": "1"}),
        (["check"], {"TERM": "dumb"}),
        (["--color", "never", "check"], {}),
    ):
        assert "\x1b" not in on_a_terminal(tmp_path, *words, **variables)


def test_marks_become_words_where_the_encoding_lacks_them(tmp_path: Path) -> None:
    shown = on_a_terminal(
        tmp_path, "check", PYTHONIOENCODING="ascii", NO_COLOR="1", STATE_DIRECTORY=str(tmp_path)
    )
    assert re.search("^ok database: ", shown, re.MULTILINE)


def groups(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command."""
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [
        path,
        *(words for name, subcommand in below for words in groups(subcommand, (*path, name))),
    ]


@pytest.mark.parametrize("words", groups(main), ids=" ".join)
def test_help_fits_80_columns_and_no_summary_is_cut(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*words, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    body = shown.output.splitlines()[1:]
    assert [line for line in body if len(line) > 80 or line.endswith("...")] == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_shells_get_a_script_for_completion(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from dispatcher.cli import main; main(prog_name='dispatcher')"],
        env={**os.environ, "_DISPATCHER_COMPLETE": f"{name}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_DISPATCHER_COMPLETE={name}_complete" in ended.stdout
