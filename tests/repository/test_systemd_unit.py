import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.cli import main
from dispatcher.config.loading import load
from dispatcher.config.sections import Config

UNIT = Path(__file__).parents[2] / "systemd" / "dispatcher.service"
TIMEOUT_LIMIT = "30s"
LAST_RECORDS = 5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)

WRITE_XOR_EXECUTE = """
import ctypes, mmap, ssl, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(3)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    pass
else:
    sys.exit("the kernel allows what it should not")
import aiohttp, asyncpg, orjson, pydantic, structlog, uvloop
from dispatcher.encryption.cipher import Cipher
cipher = Cipher(bytes(32))
assert cipher.decrypt(cipher.encrypt(b"x", context=b""), context=b"") == b"x"
ssl.create_default_context()
async def turn():
    async with aiohttp.ClientSession():
        pass
uvloop.run(turn())
"""


def settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@needs_systemd
def test_the_unit_is_valid(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    (command,) = settings("ExecStart")
    copy.write_text(UNIT.read_text().replace(command.split()[0], sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)]
    checked = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@needs_systemd
def test_systemd_rates_the_exposure_of_the_unit_as_low() -> None:
    score = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)]
    scored = subprocess.run(score, capture_output=True, text=True, check=False)
    assert scored.returncode == 0, scored.stdout.splitlines()[-1]


@needs_systemd
def test_the_process_of_schema_checks_may_limit_itself() -> None:
    allowed: set[str] = set()
    for line in settings("SystemCallFilter"):
        named = {call for name in line.removeprefix("~").split() for call in system_calls(name)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    assert {"prlimit64", "sched_setscheduler"} <= allowed
    assert allowed.isdisjoint({"setpriority", "chown", "mount"})


def system_calls(name: str) -> set[str]:
    """Return the system calls of a group, which may have groups in it, or the one of this name."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    names = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return {call for entry in names if entry and entry[0] != "#" for call in system_calls(entry)}


def test_the_longest_drain_fits_before_systemd_kills() -> None:
    load(environ={}, overrides={"delivery": {"timeout": TIMEOUT_LIMIT}})
    (stop,) = settings("TimeoutStopSec")
    assert int(stop) >= int(TIMEOUT_LIMIT.removesuffix("s")) + LAST_RECORDS


def test_the_credentials_are_keys_of_the_configuration(tmp_path: Path) -> None:
    names = [credential.partition(":")[0] for credential in settings("LoadCredential")]
    values = {"database.dsn": "postgresql://db/app", "secrets.key": "ab" * 32}
    assert sorted(names) == sorted(values)
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    config = load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.database.dsn is not None
    assert config.secrets.key is not None
    assert config.admin == Config().admin


def test_the_daemon_can_do_without_memory_that_is_written_and_run() -> None:
    assert settings("MemoryDenyWriteExecute") == ["yes"]
    ran = subprocess.run(
        [sys.executable, "-c", WRITE_XOR_EXECUTE], capture_output=True, text=True, check=False
    )
    if ran.returncode == 3:
        pytest.skip("this kernel cannot deny it to one process (Linux 6.3 can)")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_command_it_starts_is_one_the_command_line_takes() -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", UNIT.read_text(), re.MULTILINE)
    program, *arguments = shlex.split(line)
    assert Path(program).name == "dispatcher"
    context = main.make_context("dispatcher", arguments, resilient_parsing=True)
    name, verb, rest = main.resolve_command(context, context._protected_args + context.args)
    assert (name, verb) == ("run", main.commands["run"])
    assert verb is not None
    assert verb.make_context("run", rest, parent=context).obj == Path("/etc/dispatcher/config.toml")
