import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.config.loading import load
from dispatcher.config.sections import Config, ConfigError
from dispatcher.encryption import cipher as cipher_module
from dispatcher.encryption.cipher import Cipher, WrongKeyError

KEY = bytes(range(32))
ANOTHER = bytes(32)


def config(tmp_path: Path, **secrets: str) -> Config:
    return load(
        environ={},
        overrides={"database": {"state_directory": str(tmp_path)}, "secrets": secrets},
    )


def key_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


# ── sealing ──────────────────────────────────────────────────────────────────────────────────────


@given(plain=st.binary(max_size=5000), context=st.binary(max_size=64))
def test_an_encrypted_text_can_be_decrypted(plain: bytes, context: bytes) -> None:
    cipher = Cipher(KEY)
    assert cipher.decrypt(cipher.encrypt(plain, context=context), context=context) == plain


@given(plain=st.binary(max_size=100), data=st.data())
def test_one_changed_bit_anywhere_is_noticed(plain: bytes, data: st.DataObject) -> None:
    cipher = Cipher(KEY)
    blob = bytearray(cipher.encrypt(plain, context=b"endpoint"))
    place = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[place // 8] ^= 1 << place % 8
    with pytest.raises(WrongKeyError):
        cipher.decrypt(bytes(blob), context=b"endpoint")


@given(length=st.integers(0, 40))
def test_a_value_cut_short_is_noticed(length: int) -> None:
    cipher = Cipher(KEY)
    blob = cipher.encrypt(b"12345678", context=b"")
    assert len(blob) == 41
    with pytest.raises(WrongKeyError):
        cipher.decrypt(blob[:length], context=b"")


@given(ours=st.binary(max_size=20), theirs=st.binary(max_size=20))
def test_a_value_opens_only_in_its_own_context(ours: bytes, theirs: bytes) -> None:
    blob = Cipher(KEY).encrypt(b"secret", context=ours)
    if ours == theirs:
        assert Cipher(KEY).decrypt(blob, context=theirs) == b"secret"
    else:
        with pytest.raises(WrongKeyError, match="belongs to something else"):
            Cipher(KEY).decrypt(blob, context=theirs)


def test_a_value_of_another_key_is_recognised_by_the_id_of_the_key() -> None:
    blob = Cipher(KEY).encrypt(b"secret", context=b"")
    with pytest.raises(WrongKeyError, match="another key"):
        Cipher(ANOTHER).decrypt(blob, context=b"")


def test_the_same_secret_is_never_sealed_the_same_way() -> None:
    cipher = Cipher(KEY)
    assert len({cipher.encrypt(b"secret", context=b"") for _ in range(100)}) == 100


def test_a_sealed_value_of_the_first_version_stays_readable() -> None:
    sealed = bytes.fromhex(
        "01e6e98da9c727b35b4dcb49ed00294857"
        "adc83155602861982fe4a1181089217a7c67d441a82c4a45055afe9124530ff3"
    )
    assert Cipher(KEY).decrypt(sealed, context=b"endpoint") == b"a signing secret"


def test_the_check_value_knows_its_key_again() -> None:
    check = Cipher(KEY).check_value()
    assert len(check) == 32
    assert Cipher(KEY).matches(check)
    assert not Cipher(ANOTHER).matches(check)
    assert not Cipher(KEY).matches(check[:31])
    assert KEY not in check


def test_the_repr_shows_nothing_of_the_key() -> None:
    assert repr(Cipher(KEY)) == "Cipher()"


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Cipher(KEY[:16])


# ── keys as text ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()])
def test_a_key_is_written_in_hexadecimal_or_base64(text: str) -> None:
    assert cipher_module.parse_key(text) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "zz" * 32,
        "ab" * 31,
        "ab" * 33,
        base64.b64encode(KEY[:24]).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "é" * 64,
        "é" * 44,
    ],
)
def test_any_other_text_of_a_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal characters") as raised:
        cipher_module.parse_key(text)
    assert not text or text not in str(raised.value)
    assert raised.value.__suppress_context__


def test_new_keys_differ_and_can_be_read() -> None:
    keys = {cipher_module.parse_key(cipher_module.new_key()) for _ in range(10)}
    assert len(keys) == 10


def test_the_configuration_takes_exactly_the_keys_that_can_be_read(tmp_path: Path) -> None:
    for text in (KEY.hex(), base64.b64encode(KEY).decode()):
        assert cipher_module.read_key(config(tmp_path, key=text)) == KEY


# ── where the key is ─────────────────────────────────────────────────────────────────────────────


def test_the_key_is_the_given_one_then_the_named_file_then_the_one_in_the_state_directory(
    tmp_path: Path,
) -> None:
    named = str(key_file(tmp_path / "named", "22" * 32))
    key_file(tmp_path / "secrets.key", "33" * 32 + "\n")
    settings = config(tmp_path, key="11" * 32, key_file=named)
    assert cipher_module.read_key(settings) == b"\x11" * 32
    assert cipher_module.read_key(config(tmp_path, key_file=named)) == b"\x22" * 32
    assert cipher_module.read_key(config(tmp_path)) == b"\x33" * 32


def test_a_missing_key_file_is_an_error_only_if_it_was_named(tmp_path: Path) -> None:
    assert cipher_module.read_key(config(tmp_path)) is None
    assert cipher_module.read_key(config(tmp_path / "not" / "there")) is None
    with pytest.raises(ConfigError, match=r"^secrets\.key_file: \S+ does not exist"):
        cipher_module.read_key(config(tmp_path, key_file=str(tmp_path / "missing")))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    key_file(tmp_path / "secrets.key", KEY.hex(), mode)
    with pytest.raises(ConfigError, match=rf"is open to others \(mode {mode:04o}\): chmod 600"):
        cipher_module.read_key(config(tmp_path))


@pytest.mark.parametrize("text", ["", "hunter2", KEY.hex() + "\n" + KEY.hex()])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    key_file(tmp_path / "secrets.key", text)
    with pytest.raises(ConfigError, match="must be 64 hexadecimal") as raised:
        cipher_module.read_key(config(tmp_path))
    assert not text or text not in str(raised.value)


def test_a_directory_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").mkdir()
    with pytest.raises(ConfigError, match=r"^secrets\.key_file: .*Is a directory"):
        cipher_module.read_key(config(tmp_path))


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_key_is_its_owners_only_in_a_directory_others_can_pass(
    tmp_path: Path, umask: int
) -> None:
    path = cipher_module.key_path(config(tmp_path / "state" / "dispatcher"))
    previous = os.umask(umask)
    try:
        key = cipher_module.write_new_key(path)
    finally:
        os.umask(previous)
    assert cipher_module.read_key(config(path.parent)) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o711
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.key"]


def test_a_key_that_exists_is_never_replaced(tmp_path: Path) -> None:
    path = key_file(tmp_path / "secrets.key", KEY.hex())
    with pytest.raises(FileExistsError):
        cipher_module.write_new_key(path)
    assert path.read_text() == KEY.hex()
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.key"]


# ── a second key, while keys change ──────────────────────────────────────────────────────────────


def test_a_second_key_decrypts_and_never_encrypts() -> None:
    old, new, both = Cipher(ANOTHER), Cipher(KEY), Cipher(KEY, ANOTHER)
    blob = old.encrypt(b"a secret", context=b"c")
    assert both.decrypt(blob, context=b"c") == b"a secret"
    assert not both.is_current(blob)
    again = both.encrypt(b"a secret", context=b"c")
    assert both.is_current(again)
    assert new.decrypt(again, context=b"c") == b"a secret"
    with pytest.raises(WrongKeyError):
        old.decrypt(again, context=b"c")
    with pytest.raises(WrongKeyError):
        both.decrypt(blob, context=b"another")


def test_two_keys_are_known_and_only_the_first_matches_the_database() -> None:
    both = Cipher(KEY, ANOTHER)
    assert both.check_value() == Cipher(KEY).check_value()
    assert both.cursor_key() == Cipher(KEY).cursor_key()
    checks = [Cipher(key).check_value() for key in (KEY, ANOTHER, bytes([7] * 32))]
    assert [both.matches(check) for check in checks] == [True, False, False]
    assert [both.knows(check) for check in checks] == [True, True, False]
    assert "07" not in repr(both)


def test_the_second_key_comes_from_a_file_of_its_own(tmp_path: Path) -> None:
    key_file(tmp_path / "second", ANOTHER.hex())
    configured = config(tmp_path, key=KEY.hex(), second_key_file=str(tmp_path / "second"))
    cipher = cipher_module.read_cipher(configured)
    assert cipher is not None
    assert cipher.knows(Cipher(ANOTHER).check_value())
    (tmp_path / "second").chmod(0o644)
    with pytest.raises(ConfigError, match=r"secrets\.second_key_file"):
        cipher_module.read_cipher(configured)
    assert cipher_module.read_cipher(config(tmp_path, second_key=KEY.hex())) is None
