import os
import subprocess
import sys
import zipfile
from pathlib import Path

from dispatcher.store import sql_files

CHECKOUT = Path(__file__).parents[2]

LIST = """
from dispatcher.store import sql_files as sqlfiles
def walk(directory, prefix=""):
    for each in directory.iterdir():
        if each.is_dir():
            walk(each, f"{prefix}{each.name}/")
        elif each.name.endswith(".sql"):
            print(prefix + each.name)
walk(sqlfiles.root())
"""


def test_a_checkout_reads_its_own_sql() -> None:
    assert Path(str(sql_files.root())) == CHECKOUT / "sql"


def test_a_wheel_carries_every_sql_file(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)

    listed = subprocess.run(
        [sys.executable, "-c", LIST],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )

    source = CHECKOUT / "sql"
    written = {path.relative_to(source).as_posix() for path in source.rglob("*.sql")}
    assert set(listed.stdout.split()) == written
    assert written
