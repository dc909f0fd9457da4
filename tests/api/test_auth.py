"""How often an address may show a wrong token, and what that means for those who share it."""

import asyncio

import pytest

from dispatcher.api import auth
from dispatcher.api.auth import Auth, Throttle
from dispatcher.api.types import HttpError
from dispatcher.services.access.token_authentication import (
    ROOT_PRINCIPAL,
    Principal,
    TokenAuthenticator,
)
from dispatcher.store.pool import Pool

HERE = "192.0.2.1"
GUESS = "made-up-by-the-operator-{:08}"
OURS = "dsp_" + "A" * 41 + "{}A"


class Looked(TokenAuthenticator):
    """A gate that counts what is compared; `good` are the tokens it lets in."""

    def __init__(self, *good: str) -> None:
        super().__init__(Pool([]), None)
        self.good = good
        self.compared: list[str] = []

    def remembers(self, text: str) -> bool:
        return text in self.good and text in self.compared

    async def authenticate(self, text: str, address: str = "") -> Principal | None:
        self.compared.append(text)
        return ROOT_PRINCIPAL if text in self.good else None


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LATE_SECONDS", 0.0)


async def shown(asked: Auth, token: str, address: str = HERE) -> int:
    try:
        await asked.authenticate(token, address)
    except HttpError as failure:
        return failure.status
    return 200


async def test_guesses_of_a_made_up_token_are_not_even_compared_after_too_many() -> None:
    gate = Looked()
    asked = Auth(gate)
    answers = [await shown(asked, GUESS.format(n)) for n in range(50)]
    assert answers == [401] * auth.WRONG_LIMIT + [429] * 40
    assert len(gate.compared) == auth.WRONG_LIMIT
    assert await shown(asked, GUESS.format(0), "192.0.2.2") == 401


async def test_a_known_token_is_accepted_while_others_guess() -> None:
    good = GUESS.format(99)
    asked = Auth(Looked(good))
    assert await shown(asked, good) == 200
    for n in range(20):
        await shown(asked, GUESS.format(n))
    assert await shown(asked, good) == 200


async def test_a_new_valid_token_is_looked_up_now_and_then_while_others_guess() -> None:
    good = OURS.format("z")
    gate = Looked(good)
    asked = Auth(gate)
    for n in range(auth.WRONG_LIMIT):
        await shown(asked, GUESS.format(n))
    assert await shown(asked, good) == 200
    gate.compared.clear()
    for letter in "BCDEFGHIJKLMNOPQRSTUV":
        await shown(asked, OURS.format(letter))
    assert len(gate.compared) <= auth.LOOKUPS_A_SECOND


async def test_the_number_of_throttled_requests_that_wait_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "LATE_SECONDS", 60.0)
    monkeypatch.setattr(auth, "LATE_LIMIT", 3)
    asked = Auth(Looked())
    for n in range(auth.WRONG_LIMIT):
        await shown(asked, GUESS.format(n))
    waiting = [asyncio.create_task(shown(asked, GUESS.format(n))) for n in range(3)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(shown(asked, "another"), 5) == 429
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def test_the_number_of_remembered_addresses_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "ADDRESSES_LIMIT", 2)
    throttle = Throttle()
    for address in ("a", "b", "c"):
        for _ in range(auth.WRONG_LIMIT):
            throttle.note(address, 1.0)
        throttle.may_look_up(address, 1.0)
    assert [throttle.wait(address, 1.0) > 0 for address in ("a", "b", "c")] == [False, True, True]
