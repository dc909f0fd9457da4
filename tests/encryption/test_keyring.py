"""Which key a database's secrets are encrypted with: one for good, however many start at once."""

import asyncio
import os
from pathlib import Path

import pytest

from dispatcher.config.sections import Config
from dispatcher.encryption import cipher as cipher_module
from dispatcher.encryption.keyring import KeyRejectedError, unlock
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session


def config(directory: Path) -> Config:
    return Config.model_validate({"database": {"state_directory": str(directory)}})


async def test_a_database_without_a_key_gets_one_that_is_kept(
    session: Session, tmp_path: Path
) -> None:
    first = await unlock(config(tmp_path), Settings(session))
    again = await unlock(config(tmp_path), Settings(session))
    assert again.matches(first.check_value())


async def test_two_first_starts_on_one_machine_have_one_key(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = cipher_module.write_new_key(tmp_path / cipher_module.KEY_FILE)
    reads = iter([None])  # the other one wrote its key after we looked
    monkeypatch.setattr(cipher_module, "read_key", lambda _: next(reads, key))
    cipher = await unlock(config(tmp_path), Settings(session))
    assert cipher.matches(cipher_module.Cipher(key).check_value())


async def test_many_first_starts_at_once_have_one_key(
    session: Session, other: Session, tmp_path: Path
) -> None:
    stores = [Settings(session), Settings(other)] * 3
    ciphers = await asyncio.gather(*[unlock(config(tmp_path), store) for store in stores])
    assert len({cipher.check_value() for cipher in ciphers}) == 1
    assert os.listdir(tmp_path) == [cipher_module.KEY_FILE]


async def test_of_two_first_starts_on_two_machines_one_is_refused_and_keeps_no_key(
    session: Session, other: Session, tmp_path: Path
) -> None:
    machines = [tmp_path / "one", tmp_path / "other"]
    outcomes = await asyncio.gather(
        *[
            unlock(config(directory), Settings(store))
            for directory, store in zip(machines, (session, other), strict=True)
        ],
        return_exceptions=True,
    )
    refused = [isinstance(outcome, KeyRejectedError) for outcome in outcomes]
    assert sorted(refused) == [False, True]
    kept = [(directory / cipher_module.KEY_FILE).exists() for directory in machines]
    assert kept == [not is_refused for is_refused in refused]


async def test_a_second_key_opens_a_database_until_it_has_the_first_one(
    session: Session, tmp_path: Path
) -> None:
    old, new = bytes(32).hex(), bytes([1] * 32).hex()

    def keys(**secrets: str) -> Config:
        directory = {"database": {"state_directory": str(tmp_path)}}
        return Config.model_validate({**directory, "secrets": secrets})

    await unlock(keys(key=old), Settings(session))
    cipher = await unlock(keys(key=new, second_key=old), Settings(session))
    with pytest.raises(KeyRejectedError):
        await unlock(keys(key=new), Settings(session))
    former = (await Settings(session).read()).key_check
    assert former is not None
    assert await Settings(session).replace_key(cipher.check_value(), former)
    await unlock(keys(key=new), Settings(session))
    with pytest.raises(KeyRejectedError) as refused:
        await unlock(keys(key=old), Settings(session))
    assert "earlier" not in str(refused.value)  # what is configured is the earlier key
    assert not await Settings(session).replace_key(bytes(32), bytes([1] * 32))


async def test_a_wrong_key_is_named_by_its_file_and_not_shown(
    session: Session, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.key"
    file.write_text(bytes([1] * 32).hex())
    file.chmod(0o600)
    await unlock(Config.model_validate({"secrets": {"key": bytes(32).hex()}}), Settings(session))
    with pytest.raises(KeyRejectedError) as refused:
        await unlock(Config.model_validate({"secrets": {"key_file": str(file)}}), Settings(session))
    assert f"the key in {file} is not the key" in str(refused.value)
    assert "configure the other key" in str(refused.value)
    assert "secrets.second_key_file" in str(refused.value)
    assert file.read_text() not in str(refused.value)
