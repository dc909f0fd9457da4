"""The access tokens that are kept, and which is dropped when there are too many."""

from uuid import UUID

from dispatcher.core.credentials import OAuth2Client
from dispatcher.core.model import SendError
from dispatcher.transport.token_cache import OVERHEAD_BYTES, FetchedToken, TokenCache, TokenKey

LATER = 100.0


def key(number: int, client: str = "id") -> TokenKey:
    return TokenKey(UUID(int=number), OAuth2Client("https://example.com/token", client, "s"))


def kept(cache: TokenCache, environment_id: str, *numbers: int) -> list[bool]:
    return [cache.get(environment_id, key(number), 0.0) is not None for number in numbers]


def test_a_token_is_returned_until_its_time() -> None:
    cache = TokenCache(9, 2**20)
    cache.keep("a", key(1), FetchedToken("token", LATER))
    assert cache.get("a", key(1), LATER - 1) == "token"
    assert cache.get("a", key(1), LATER) is None
    assert cache.get("a", key(1, "changed"), 0.0) is None


def test_an_environment_with_many_tokens_drops_only_its_own() -> None:
    cache = TokenCache(4, 2**20)
    cache.keep("small", key(1), FetchedToken("token", LATER))
    for number in range(10, 20):
        cache.keep("large", key(number), FetchedToken("token", LATER))
    assert kept(cache, "small", 1) == [True]
    assert kept(cache, "large", 16, 17, 18, 19) == [False, True, True, True]


def test_the_token_that_was_not_used_for_longest_is_dropped() -> None:
    cache = TokenCache(2, 2**20)
    for number in (1, 2):
        cache.keep("a", key(number), FetchedToken("token", LATER))
    assert kept(cache, "a", 1) == [True]
    cache.keep("a", key(3), FetchedToken("token", LATER))
    assert kept(cache, "a", 1, 2, 3) == [True, False, True]


def test_long_tokens_are_limited_by_their_bytes() -> None:
    cache = TokenCache(100, 3 * (OVERHEAD_BYTES + 16_000))
    for number in range(10):
        cache.keep("a", key(number), FetchedToken("t" * 16_000, LATER))
    assert len(cache) == 3


def test_a_result_replaces_the_one_before_and_frees_its_bytes() -> None:
    cache = TokenCache(9, 2 * (OVERHEAD_BYTES + 100))
    for _ in range(5):
        cache.keep("a", key(1), FetchedToken("t" * 100, LATER))
    cache.keep("b", key(2), FetchedToken(SendError("authentication", "r" * 100, 0.0), LATER))
    assert (len(cache), kept(cache, "a", 1), kept(cache, "b", 2)) == (2, [True], [True])


def test_only_the_refused_token_is_discarded() -> None:
    cache = TokenCache(9, 2**20)
    cache.keep("a", key(1), FetchedToken("new", LATER))
    cache.discard("a", key(1), "old")
    assert cache.get("a", key(1), 0.0) == "new"
    cache.discard("a", key(1), "new")
    cache.discard("a", key(1), "new")
    assert (cache.get("a", key(1), 0.0), len(cache)) == (None, 0)
