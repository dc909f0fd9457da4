"""One process at a time starts the server of a directory."""

import os
from pathlib import Path

import pytest

from dispatcher.cli import database
from dispatcher.cli.errors import CommandError
from dispatcher.embedded_postgres.process import lock


def test_a_lock_that_another_process_keeps_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "START_LIMIT_SECONDS", 0.0)
    held = lock(tmp_path / "turn")
    assert held is not None
    with pytest.raises(CommandError, match="Another process"), database.start_lock(tmp_path):
        pytest.fail("two have the lock")
    os.close(held)
    with database.start_lock(tmp_path):
        assert lock(tmp_path / "turn") is None


def test_a_directory_that_is_not_there_needs_no_lock(tmp_path: Path) -> None:
    with database.start_lock(tmp_path / "none"):
        assert not (tmp_path / "none").exists()
